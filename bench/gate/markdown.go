package gate

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteMarkdown writes r as a comment on a pull request: regressions first, passed
// figures folded.
func (r *Result) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## peal-gate: %s%s\n\n", r.headline(), r.changed())
	title := "Head changes its own limits:"
	if slices.ContainsFunc(r.Changes, func(c Change) bool { return c.Raised }) {
		title = "**Head raises its own limits.** The stricter limit of both sides applied:"
		if r.Allows("gate.yaml") {
			title = "**Head raises its own limits.** They applied, because of `--allow gate.yaml`:"
		}
	}
	writeChanges(&b, title, r.Changes)
	r.writeSides(&b)
	writeChanges(&b, "Head rewrites figures that the repository keeps:", r.Rewritten)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
	}
	r.writeFailures(&b)
	r.writeFigures(&b)
	r.writeDrifts(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// changed says that head changes its limits.
func (r *Result) changed() string {
	if len(r.Changes) == 0 {
		return ""
	}
	raised := 0
	for _, c := range r.Changes {
		if c.Raised {
			raised++
		}
	}
	return fmt.Sprintf(" · gate.yaml changed: %d of %d changes let more pass", raised, len(r.Changes))
}

// headline is the result in a few words.
func (r *Result) headline() string {
	count := map[Verdict]int{}
	for _, f := range r.Figures {
		count[f.Verdict]++
	}
	for _, f := range r.Failures {
		if f.Verdict == Broken || f.Verdict == Gone {
			count[f.Verdict]++
		}
	}
	judged := len(r.Figures) - count[NotJudged] - count[New]
	switch r.Exit {
	case ExitRegression:
		var parts []string
		for _, v := range []Verdict{Worse, Gone, Broken} {
			if count[v] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", count[v], strings.Replace(string(v), "regression", "worse", 1)))
			}
		}
		if n := r.raised(); n > 0 {
			parts = append(parts, fmt.Sprintf("%d raised in baseline.json", n))
		}
		return "regression (" + strings.Join(parts, ", ") + ")"
	case ExitFailed:
		return "could not measure"
	case ExitUnstable:
		return fmt.Sprintf("unstable (%d of %d figures)", count[Unstable], judged)
	}
	if n := count[Better]; n > 0 {
		return fmt.Sprintf("pass (%d figures, %d better)", judged, n)
	}
	return fmt.Sprintf("pass (%d figures)", judged)
}

func (r *Result) writeSides(b *bytes.Buffer) {
	how := fmt.Sprintf("%d samples, deterministic figures only", r.Config.Samples)
	if !r.ExactOnly {
		how = fmt.Sprintf("%d pairs, interleaved", r.Config.Pairs)
	}
	if i := r.Intervals; i != nil {
		how += fmt.Sprintf(", as many again for what is not decided, for %d noisy figures with intervals of %.4g %% each, which need %d pairs",
			i.Figures, 100*(1-i.Level), i.FewestPairs)
	}
	sides := "Head "
	if !r.alone() {
		sides = "Base " + r.Base.describe() + " · head "
	}
	fmt.Fprintf(b, "%s%s · %s · %d × %s, Linux %s, %s · %.0f s\n\n",
		sides, r.Head.describe(), how, r.Environment.CPUs, r.Environment.CPU, r.Environment.Kernel, r.Environment.Go, r.Took)
}

func (b *Build) describe() string {
	code := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }
	text := code(b.Name)
	if b.Commit != "" && !strings.HasPrefix(b.Commit, b.Name) {
		text += " " + code(b.Commit[:min(10, len(b.Commit))])
	}
	if b.Changed {
		text += " with uncommitted changes"
	}
	return text
}

// table writes a Markdown table, or nothing without rows. head and aligned are its
// first two lines.
func table(b *bytes.Buffer, head, aligned string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s |\n| %s |\n", head, aligned)
	safe := strings.NewReplacer("< 0", "< 0", "|", "\\|", "\n", "<br>", "<", "&lt;", ">", "&gt;")
	for _, row := range rows {
		for i := range row {
			row[i] = safe.Replace(row[i])
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteByte('\n')
}

func bold(s string) string { return "**" + s + "**" }

func writeChanges(b *bytes.Buffer, title string, all []Change) {
	if len(all) == 0 {
		return
	}
	var rows [][]string
	for _, c := range all {
		row := []string{c.What, c.Base, c.Head}
		if c.Raised {
			row[0], row[2] = bold(c.What), bold(c.Head)
		}
		rows = append(rows, row)
	}
	b.WriteString(title + "\n\n")
	table(b, "What | Base | Head", "--- | --- | ---", rows)
}

// errorBytes is the longest error in a row.
const errorBytes = 300

func (r *Result) writeFailures(b *bytes.Buffer) {
	var rows [][]string
	for _, f := range r.Failures {
		verdict := bold(string(f.Verdict))
		switch f.Verdict {
		case Same:
			verdict = "does not count"
		case New:
			verdict = "new: only head can run it"
		case NotJudged:
			verdict = "gone, and allowed"
		}
		said := strings.TrimSpace(f.Error) // the JSON has the whole error
		if len(said) > errorBytes {
			said = strings.ToValidUTF8(said[:errorBytes], "") + " …"
		}
		rows = append(rows, []string{f.Benchmark, f.Side, strconv.Itoa(f.Failed), strconv.Itoa(f.Passed), said, verdict})
	}
	table(b, "Benchmark | Side | Runs failed | passed | Last error | Verdict", "--- | --- | ---: | ---: | --- | ---", rows)
}

// writeFigures writes the figures that are not a plain pass, worst first, and folds
// the rest.
func (r *Result) writeFigures(b *bytes.Buffer) {
	loud := []Verdict{Worse, Gone, Failed, Unstable, Better}
	var rows, passed, rest [][]string
	for _, v := range loud {
		for i := range r.Figures {
			if r.Figures[i].Verdict == v {
				rows = append(rows, r.Figures[i].row())
			}
		}
	}
	for i := range r.Figures {
		switch f := &r.Figures[i]; {
		case f.Verdict == Same:
			passed = append(passed, f.row())
		case !slices.Contains(loud, f.Verdict):
			rest = append(rest, f.row())
		}
	}
	write := func(rows [][]string) {
		table(b, "Benchmark | Figure | Base | Head | Change | Interval | Fails beyond | Verdict", "--- | --- | ---: | ---: | ---: | ---: | ---: | ---", rows)
	}
	fold := func(what string, rows [][]string) {
		if len(rows) > 0 {
			fmt.Fprintf(b, "<details><summary>%d %s</summary>\n\n", len(rows), what)
			write(rows)
			b.WriteString("</details>\n\n")
		}
	}
	write(rows)
	fold("passed", passed)
	fold("new or not judged", rest)
}

// writeDrifts writes what the history shows.
func (r *Result) writeDrifts(b *bytes.Buffer) {
	var rows [][]string
	for _, d := range r.Drifts {
		change := fmt.Sprintf("%+.3g", d.Last-d.First)
		if d.ChangePercent != nil {
			change = fmt.Sprintf("%+.3g %%", *d.ChangePercent)
		}
		var at []string
		for _, commit := range d.At {
			at = append(at, commit[:min(10, len(commit))])
		}
		rows = append(rows, []string{d.Figure, strconv.Itoa(d.Runs), number(d.First), number(d.Last), change, strings.Join(at, ", ")})
	}
	if len(rows) > 0 {
		b.WriteString("Drifts over the runs of the history on this machine:\n\n")
	}
	table(b, "Figure | Runs | First level | Last level | Change | New levels begin at", "--- | ---: | ---: | ---: | ---: | ---", rows)
}

// row is a line of the table of figures.
func (f *Figure) row() []string {
	change, interval, limit, verdict := "–", "–", "–", string(f.Verdict)
	switch {
	case f.BaseMedian == nil || f.HeadMedian == nil:
	case f.ChangePercent == nil || f.Kind == Exact && math.Abs(*f.BaseMedian) < 1:
		change = fmt.Sprintf("%+.3g", *f.HeadMedian-*f.BaseMedian)
	default:
		change = fmt.Sprintf("%+.3g %%", *f.ChangePercent)
	}
	if f.LowPercent != nil && f.HighPercent != nil {
		interval = fmt.Sprintf("%+.3g to %+.3g %%", *f.LowPercent, *f.HighPercent)
	}
	if f.Limit != nil {
		if limit = number(*f.Limit); f.Kind != Exact {
			limit += " %"
		}
	}
	if f.Verdict.exit() != ExitPass {
		verdict = bold(verdict)
	}
	if f.Why != "" {
		verdict += ": " + f.Why
	}
	return []string{f.Benchmark, f.Unit, quantity(f.BaseMedian, f.Unit), quantity(f.HeadMedian, f.Unit), change, interval, limit, verdict}
}

// quantity writes x, which may be nil, with long times in milliseconds or seconds.
func quantity(x *float64, unit string) string {
	if x == nil {
		return "–"
	}
	if strings.HasSuffix(unit, "-ns") || strings.Contains(unit, "-ns/") {
		switch a := math.Abs(*x); {
		case a >= 1e9:
			return fmt.Sprintf("%.3g s", *x/1e9)
		case a >= 1e6:
			return fmt.Sprintf("%.3g ms", *x/1e6)
		case a >= 1e4:
			return fmt.Sprintf("%.3g µs", *x/1e3)
		}
	}
	return number(*x)
}

// number writes x with four significant digits.
func number(x float64) string {
	if math.Abs(x) >= 1e4 && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}
