package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable prints the outcomes: for each row the median of its samples and
// in brackets the smallest and greatest. Of 5 pairs, smallest to greatest is
// the 94 % confidence interval of the median.
func WriteTable(w io.Writer, outcomes []Outcome) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tA\tB\tA to B, by pairs\ttarget\tverdict\tn")
	for i := range outcomes {
		o := &outcomes[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", o.What, spread(o.A, o.Unit), spread(o.B, o.Unit),
			relation(o), o.Target.format(o.Unit), o.Verdict(), len(o.A))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range outcomes {
		o := &outcomes[i]
		if o.Err != nil && (i == 0 || outcomes[i-1].Key != o.Key) { // one error for the rows measured together
			fmt.Fprintf(w, "%s: %v\n", o.What, o.Err)
		}
	}
	return nil
}

// relation is A ÷ B, or A − B where the target is about that.
func relation(o *Outcome) string {
	if len(o.B) == 0 || o.Target.Of != Difference && slices.Contains(o.B, 0) {
		return ""
	}
	as := *o
	if as.Target.Of != Difference {
		as.Target.Of = Ratio
		return "× " + spread(as.Judged(), "")
	}
	return "+ " + spread(as.Judged(), o.Unit)
}

func spread(v []float64, unit string) string {
	if len(v) == 0 {
		return ""
	}
	s := human(Median(v), unit)
	if len(v) > 1 {
		s += " [" + human(slices.Min(v), "") + "–" + human(slices.Max(v), "") + "]"
	}
	return s
}

func (t Target) format(unit string) string {
	if t.Of == Nothing {
		return ""
	}
	s := "≥ "
	if t.AtMost {
		s = "≤ "
	}
	if t.Of == Ratio {
		return s + "× " + human(t.Limit, "")
	}
	return s + human(t.Limit, unit)
}

// human writes v with three digits, and k or M.
func human(v float64, unit string) string {
	letter := ""
	switch a := math.Abs(v); {
	case a >= 999_500:
		v, letter = v/1e6, " M"
	case a >= 9_995:
		v, letter = v/1e3, " k"
	}
	digits := 2
	switch a := math.Abs(v); {
	case a >= 99.95:
		digits = 0
	case a >= 9.995:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f%s %s", digits, v, letter, unit))
}
