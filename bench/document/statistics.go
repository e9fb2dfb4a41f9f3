package document

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"peal/bench/record"
)

// enough is how many samples an interval needs: with fewer, not even the smallest and
// the greatest sample enclose the median with 95 %.
const enough = 6

// confidence is the confidence level of the intervals.
const confidence = 0.95

// spread writes the median and, in brackets, its interval by order statistics
// (benchmath, without an assumption about the distribution). With less than enough
// samples the brackets have the smallest and the greatest; with one there are none.
func spread(v []float64, unit string) string {
	switch {
	case len(v) == 0:
		return "–"
	case slices.ContainsFunc(v, func(x float64) bool { return math.IsInf(x, 0) || math.IsNaN(x) }):
		return "lost"
	case len(v) == 1:
		return plain(v[0], unit)
	}
	low, high := slices.Min(v), slices.Max(v)
	if len(v) >= enough {
		s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds), confidence)
		low, high = s.Lo, s.Hi
	}
	return fmt.Sprintf("%s [%s–%s]", plain(record.Median(v), unit), plain(low, ""), plain(high, ""))
}

// brackets explains the brackets of spread, for tables with n samples.
func brackets(n []int) string {
	least, most := slices.Min(n), slices.Max(n)
	count := fmt.Sprintf("n = %d", least)
	if least != most {
		count = fmt.Sprintf("n = %d to %d", least, most)
	}
	switch {
	case most <= 1:
		return count
	case least >= enough:
		return fmt.Sprintf("%s, medians [%.0f %% confidence interval]", count, 100*confidence)
	case most < enough:
		return fmt.Sprintf("%s, medians [smallest–greatest]: too few for an interval, which needs %d", count, enough)
	}
	return fmt.Sprintf("%s, medians [%.0f %% confidence interval; smallest–greatest where n < %d]", count, 100*confidence, enough)
}

// plain writes v with three digits, and whole numbers exactly.
func plain(v float64, unit string) string {
	if v == math.Trunc(v) && math.Abs(v) < 10_000 {
		return strings.TrimSpace(fmt.Sprintf("%.0f %s", v, unit))
	}
	return record.Format(v, unit)
}
