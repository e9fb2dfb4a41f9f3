package gate

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// WriteMarkdown writes r as a comment on a pull request: what decides first,
// what passed folded away.
func (r *Result) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## peal-gate: %s\n\n", r.headline())
	r.writeSides(&b)
	raised := slices.ContainsFunc(r.Changes, func(c Change) bool { return c.Raised })
	if raised {
		b.WriteString("**Head raises its own limits:**\n\n")
	} else if len(r.Changes) > 0 {
		b.WriteString("Head changes its own limits:\n\n")
	}
	writeChanges(&b, r.Changes)
	if len(r.Rewritten) > 0 {
		b.WriteString("Head rewrites figures that the repository keeps:\n\n")
		writeChanges(&b, r.Rewritten)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	if len(r.Notes) > 0 {
		b.WriteByte('\n')
	}
	r.writeFailures(&b)
	loud, quiet := r.sorted()
	writeFigures(&b, loud)
	r.fold(&b, "passed", quiet, func(v Verdict) bool { return v == Same })
	r.fold(&b, "new or not judged", quiet, func(v Verdict) bool { return v != Same })
	if slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.P != nil }) {
		fmt.Fprintf(&b, "Noisy figures: medians ± the 95 %% interval of the base's; p of Mann-Whitney's test, which must be below its Holm level "+
			"(%s over the whole run) and the change above the limit. *Sees*: the smallest change for the worse that this run would have found in 9 of 10 cases.\n", number(r.Config.P))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headline is the outcome in a few words.
func (r *Result) headline() string {
	count := map[Verdict]int{}
	for _, f := range r.Figures {
		count[f.Verdict]++
	}
	broken := 0
	for _, f := range r.Failures {
		if f.Verdict == Broken {
			broken++
		}
	}
	judged := len(r.Figures) - count[NotSaid] - count[New]
	switch r.Exit {
	case ExitRegression:
		parts := []string{}
		for _, p := range []struct {
			n    int
			what string
		}{{count[Worse], "worse"}, {count[Gone], "gone"}, {broken, "broken"}} {
			if p.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
			}
		}
		return "regression (" + strings.Join(parts, ", ") + ")"
	case ExitFailed:
		return "could not measure"
	case ExitUnstable:
		return fmt.Sprintf("unstable (%d of %d figures)", count[Unstable], judged)
	}
	text := fmt.Sprintf("pass (%d figures", judged)
	if n := count[Better]; n > 0 {
		text += fmt.Sprintf(", %d better", n)
	}
	return text + ")"
}

func (r *Result) writeSides(b *bytes.Buffer) {
	how := fmt.Sprintf("%d pairs, interleaved", r.Config.Pairs)
	if r.ExactOnly {
		how = fmt.Sprintf("%d samples, deterministic figures only", r.Config.Samples)
	}
	sides := "Head "
	if !r.alone() {
		sides = "Base " + r.Base.describe() + " · head "
	}
	fmt.Fprintf(b, "%s%s · %s · %d × %s, Linux %s, %s · %.0f s\n\n",
		sides, r.Head.describe(), how, r.Environment.CPUs, r.Environment.CPU, r.Environment.Kernel, r.Environment.Go, r.Took)
}

func (b *Build) describe() string {
	text := code(b.Name)
	if b.Commit != "" && !strings.HasPrefix(b.Commit, b.Name) {
		text += " " + code(b.Commit[:min(10, len(b.Commit))])
	}
	if b.Changed {
		text += " with uncommitted changes"
	}
	return text
}

func code(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }

func writeChanges(b *bytes.Buffer, all []Change) {
	if len(all) == 0 {
		return
	}
	b.WriteString("| What | Base | Head |\n| --- | --- | --- |\n")
	for _, c := range all {
		row := "| %s | %s | %s |\n"
		if c.Raised {
			row = "| **%s** | %s | **%s** |\n"
		}
		fmt.Fprintf(b, row, cell(c.What), cell(c.Base), cell(c.Head))
	}
	b.WriteByte('\n')
}

func (r *Result) writeFailures(b *bytes.Buffer) {
	if len(r.Failures) == 0 {
		return
	}
	b.WriteString("| Benchmark | Side | Runs failed | passed | Last error | Verdict |\n| --- | --- | ---: | ---: | --- | --- |\n")
	for _, f := range r.Failures {
		verdict := string(f.Verdict)
		switch f.Verdict {
		case Same:
			verdict = "does not count"
		case New:
			verdict = "new: only head can"
		default:
			verdict = "**" + verdict + "**"
		}
		fmt.Fprintf(b, "| %s | %s | %d | %d | %s | %s |\n", cell(f.Benchmark), f.Side, f.Failed, f.Passed, cell(firstLines(f.Error)), verdict)
	}
	b.WriteByte('\n')
}

// firstLines keeps a row of a table short: the JSON has all of it.
func firstLines(s string) string {
	const most = 300
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return s
}

// sorted returns the figures that decide or are worth a look, worst first, and
// the rest.
func (r *Result) sorted() (loud, quiet []Figure) {
	rank := map[Verdict]int{Worse: 0, Gone: 1, Failed: 2, Unstable: 3, Better: 4}
	for _, f := range r.Figures {
		if _, is := rank[f.Verdict]; is {
			loud = append(loud, f)
		} else {
			quiet = append(quiet, f)
		}
	}
	slices.SortStableFunc(loud, func(a, b Figure) int { return rank[a.Verdict] - rank[b.Verdict] })
	return loud, quiet
}

func (r *Result) fold(b *bytes.Buffer, what string, all []Figure, keep func(Verdict) bool) {
	var kept []Figure
	for _, f := range all {
		if keep(f.Verdict) {
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 {
		return
	}
	fmt.Fprintf(b, "<details><summary>%d %s</summary>\n\n", len(kept), what)
	writeFigures(b, kept)
	b.WriteString("</details>\n\n")
}

func writeFigures(b *bytes.Buffer, all []Figure) {
	if len(all) == 0 {
		return
	}
	b.WriteString("| Benchmark | Figure | Base | Head | Change | p | Fails beyond | Sees | Verdict |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for i := range all {
		f := &all[i]
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", cell(f.Benchmark), cell(f.Unit),
			f.baseText(), f.quantity(f.HeadMedian), f.changeText(), f.pText(), f.limitText(), f.seesText(), f.verdictText())
	}
	b.WriteByte('\n')
}

func (f *Figure) baseText() string {
	text := f.quantity(f.BaseMedian)
	if f.Kind == Exact || len(f.Base) < minPairs {
		return text
	}
	spread := benchmath.AssumeNothing.Summary(sample(f.Base), 0.95).PctRangeString()
	return text + " ± " + strings.Replace(spread, "%", " %", 1)
}

func (f *Figure) changeText() string {
	switch {
	case f.BaseMedian == nil || f.HeadMedian == nil:
		return "–"
	case f.ChangePercent == nil || f.Kind == Exact && abs(*f.BaseMedian) < 1:
		return signed(*f.HeadMedian - *f.BaseMedian)
	}
	return signed(*f.ChangePercent) + " %"
}

func (f *Figure) pText() string {
	switch {
	case f.P == nil:
		return "–"
	case *f.P < 0.0001:
		return "< 0.0001"
	}
	return fmt.Sprintf("%.4f", *f.P)
}

func (f *Figure) limitText() string {
	switch {
	case f.Limit == nil:
		return "–"
	case f.Kind == Exact:
		return number(*f.Limit)
	}
	return number(*f.Limit) + " %"
}

func (f *Figure) seesText() string {
	switch {
	case f.SeenPercent != nil:
		return fmt.Sprintf("%.1f %%", *f.SeenPercent)
	case f.P != nil:
		return "nothing"
	}
	return "–"
}

func (f *Figure) verdictText() string {
	text := string(f.Verdict)
	if f.Verdict.exit() != ExitPass {
		text = "**" + text + "**"
	}
	if f.Why != "" {
		text += ": " + f.Why
	}
	return cell(text)
}

// cell makes s safe in a row of a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", "<br>", "<", "&lt;", ">", "&gt;").Replace(s)
}

// quantity writes a number of the figure, which may be missing.
func (f *Figure) quantity(x *float64) string {
	if x == nil {
		return "–"
	}
	return quantity(*x, f.Unit)
}

// signed writes x with its sign and three significant digits.
func signed(x float64) string { return fmt.Sprintf("%+.3g", x) }
