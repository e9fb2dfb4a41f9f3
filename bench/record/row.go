package record

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Row is one line of a table.
type Row struct {
	Key    string    `json:"key"` // of the experiment
	What   string    `json:"what"`
	Unit   string    `json:"unit,omitempty"` // "bytes", "1/s", "ms", …
	Target *Target   `json:"target,omitempty"`
	A      []float64 `json:"a"` // all samples, in the order they were taken
	B      []float64 `json:"b,omitempty"`
	Error  string    `json:"error,omitempty"` // of the last failed sample; its pair does not count
}

// Target is the limit of a row.
type Target struct {
	Of     Quantity `json:"of"`
	AtMost bool     `json:"at_most,omitempty"` // otherwise: at least
	Limit  float64  `json:"limit"`
}

// Quantity is what a target is about.
type Quantity string

const (
	Value      Quantity = "value"      // the median of side A
	Ratio      Quantity = "ratio"      // the median of the pairs' A ÷ B
	Difference Quantity = "difference" // the median of the pairs' A − B
)

// AtLeast is a target that a greater value meets.
func AtLeast(of Quantity, limit float64) *Target { return &Target{Of: of, Limit: limit} }

// AtMost is a target that a smaller value meets.
func AtMost(of Quantity, limit float64) *Target { return &Target{of, true, limit} }

// Pairs returns A − B of each pair if of is Difference, otherwise A ÷ B.
func (r *Row) Pairs(of Quantity) []float64 {
	v := make([]float64, min(len(r.A), len(r.B)))
	for i := range v {
		if v[i] = r.A[i] / r.B[i]; of == Difference {
			v[i] = r.A[i] - r.B[i]
		}
	}
	return v
}

// Judged returns the values that the target is about, one for each pair.
func (r *Row) Judged() []float64 {
	if r.Target == nil || r.Target.Of == Value {
		return r.A
	}
	return r.Pairs(r.Target.Of)
}

// Verdict is "met", "missed", "failed", "not measured", or "" without a target.
func (r *Row) Verdict() string {
	v := r.Judged()
	switch {
	case len(v) == 0:
		return "not measured"
	case r.Error != "":
		return "failed"
	case r.Target == nil:
		return ""
	case r.Target.AtMost && Median(v) <= r.Target.Limit, !r.Target.AtMost && Median(v) >= r.Target.Limit:
		return "met"
	}
	return "missed"
}

// Limit describes the target; "" without one.
func (r *Row) Limit() string {
	if r.Target == nil {
		return ""
	}
	sign, unit := "≥ ", r.Unit
	if r.Target.AtMost {
		sign = "≤ "
	}
	if r.Target.Of == Ratio {
		sign, unit = sign+"× ", ""
	}
	return sign + Format(r.Target.Limit, unit)
}

// Median returns the median of v, 0 for no values.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s, middle := slices.Sorted(slices.Values(v)), len(v)/2
	if len(v)%2 == 0 {
		return (s[middle-1] + s[middle]) / 2
	}
	return s[middle]
}

// Format writes v with three digits, k or M if it is large, and its unit.
func Format(v float64, unit string) string {
	letter, digits := "", 2
	switch a := math.Abs(v); {
	case a >= 999_500:
		v, letter = v/1e6, " M"
	case a >= 9_995:
		v, letter = v/1e3, " k"
	}
	switch a := math.Abs(v); {
	case a >= 99.95:
		digits = 0
	case a >= 9.995:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f%s %s", digits, v, letter, unit))
}
