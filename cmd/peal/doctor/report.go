package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Report is the findings about one subject: a machine or a URL.
type Report struct {
	Subject  string    `json:"subject"`
	Findings []Finding `json:"findings"`
}

// Count returns how many findings have that status.
func (r *Report) Count(s Status) (n int) {
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Failed reports whether there is a failure or, if strict, a warning.
func (r *Report) Failed(strict bool) bool {
	return r.Count(Failure) > 0 || strict && r.Count(Warning) > 0
}

// Summary is the numbers of findings in words.
func (r *Report) Summary() string {
	return fmt.Sprintf("%d ok, %d warnings, %d failures, %d skipped", r.Count(OK), r.Count(Warning), r.Count(Failure), r.Count(Skipped))
}

// WriteJSON writes the report as one object. It has the counts, too.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		*Report
		Warnings int `json:"warnings"`
		Failures int `json:"failures"`
		Skipped  int `json:"skipped"`
	}{r, r.Count(Warning), r.Count(Failure), r.Count(Skipped)})
}

// WriteText writes a line for each finding and, below a fault, why it matters and what
// changes it.
func (r *Report) WriteText(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n\n", clean(r.Subject))
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(b, "%-8s %-*s  %s\n", f.Status, width, f.Check, clean(f.Value))
		f.appendDetails(b)
	}
	fmt.Fprintf(b, "\n%s\n", r.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Finding) appendDetails(b *strings.Builder) {
	const indent = "         "
	if f.Why != "" {
		fmt.Fprintf(b, "%swhy  %s\n", indent, clean(f.Why))
	}
	for _, line := range f.Fix {
		fmt.Fprintf(b, "%sfix  %s\n", indent, clean(line))
	}
	for _, p := range f.Proxies {
		label := fmt.Sprintf("fix  %-8s", p.Proxy)
		for _, line := range p.Lines {
			fmt.Fprintf(b, "%s%s %s\n", indent, label, clean(line))
			label = strings.Repeat(" ", len(label))
		}
	}
}

// clean replaces what a terminal could take as a command: values come from files and
// servers of others.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}
