package gate

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/template"
)

//go:embed result.tmpl
var page string

var markdown = template.Must(template.New("result").Funcs(template.FuncMap{
	"cells": cells, "bold": bold, "number": number, "raised": raised, "commits": commits}).Parse(page))

// WriteMarkdown writes r as a comment on a pull request: regressions first, passed
// figures folded.
func (r *Result) WriteMarkdown(w io.Writer) error { return markdown.Execute(w, r) }

// Headline is the result in a few words.
func (r *Result) Headline() string {
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
		if n := r.rewritten(); n > 0 {
			parts = append(parts, fmt.Sprintf("%d raised in baseline.json", n))
		}
		return "regression (" + strings.Join(parts, ", ") + ")"
	case ExitFailed:
		return "could not measure"
	case ExitUnstable:
		if judged == 0 {
			return "unstable (no valid run)"
		}
		return fmt.Sprintf("unstable (%d of %d figures)", count[Unstable], judged)
	}
	if n := count[Better]; n > 0 {
		return fmt.Sprintf("pass (%d figures, %d better)", judged, n)
	}
	return fmt.Sprintf("pass (%d figures)", judged)
}

// Of returns the figures with these verdicts, in the order of the verdicts.
func (r *Result) Of(verdicts ...Verdict) (all []*Figure) {
	for _, v := range verdicts {
		for i := range r.Figures {
			if r.Figures[i].Verdict == v {
				all = append(all, &r.Figures[i])
			}
		}
	}
	return all
}

// Describe names the build in Markdown.
func (b Build) Describe() string {
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

// Low is the probability, in percent, that a lower end does not miss at one look.
func (i Intervals) Low() float64 { return 100 * (1 - i.Level/2) }

// High is the same of an upper end at the last look.
func (i Intervals) High() float64 { return 100 * (1 - i.Passing[1]) }

// errorBytes is the longest error in a row; the JSON has the whole error.
const errorBytes = 300

// Short is the beginning of the error.
func (f Failure) Short() string {
	text := strings.TrimSpace(f.Error)
	if len(text) > errorBytes {
		text = strings.ToValidUTF8(text[:errorBytes], "") + " …"
	}
	return text
}

// Describe is the verdict.
func (f Failure) Describe() string {
	switch f.Verdict {
	case Same:
		return "does not count"
	case New:
		return "new: only head can run it"
	case NotJudged:
		return "gone, and allowed"
	}
	return bold(string(f.Verdict))
}

// Change is the difference of the levels.
func (d Drift) Change() string { return difference(&d.First, &d.Last, d.ChangePercent) }

func difference(base, head, percent *float64) string {
	switch {
	case base == nil || head == nil:
		return "–"
	case percent == nil:
		return fmt.Sprintf("%+.3g", *head-*base)
	}
	return fmt.Sprintf("%+.3g %%", *percent)
}

func commits(ids []string) string {
	var short []string
	for _, id := range ids {
		short = append(short, id[:min(10, len(id))])
	}
	return strings.Join(short, ", ")
}

func bold(s string) string { return "**" + s + "**" }

var safe = strings.NewReplacer("|", "\\|", "\n", "<br>", "<", "&lt;", ">", "&gt;")

// cells are a row of a Markdown table: of values, or of one slice of them.
func cells(values ...any) string {
	var row []string
	for _, v := range values {
		if all, ok := v.([]string); ok {
			row = append(row, all...)
			continue
		}
		row = append(row, fmt.Sprint(v))
	}
	for i := range row {
		row[i] = safe.Replace(row[i])
	}
	return "| " + strings.Join(row, " | ") + " |"
}

// Row is a line of the table of figures.
func (f *Figure) Row() []string {
	percent, interval, limit, verdict := f.ChangePercent, "–", "–", string(f.Verdict)
	if f.Kind == Exact && f.BaseMedian != nil && math.Abs(*f.BaseMedian) < 1 {
		percent = nil
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
	return []string{f.Benchmark, f.Unit, quantity(f.BaseMedian, f.Unit), quantity(f.HeadMedian, f.Unit),
		difference(f.BaseMedian, f.HeadMedian, percent), interval, limit, verdict}
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
