package report

import (
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// noise is the probability that an interval of equal servers does not have zero in it.
const noise = 0.01

// shift returns by how much b is above a: the median of all differences of a value of
// b and one of a (Hodges and Lehmann), and the interval that the rank-sum test at the
// level noise gives (exact, if no two values are equal). Both hold for any
// distribution. enough is false where there are too few values for an interval.
func shift(a, b []float64) (low, estimate, high float64, enough bool) {
	var all []float64
	for _, y := range b {
		for _, x := range a {
			all = append(all, y-x)
		}
	}
	if len(all) == 0 {
		return 0, 0, 0, false
	}
	slices.Sort(all)
	cut := rankSumCut(len(a), len(b))
	if cut == 0 {
		return 0, median(all), 0, false
	}
	return all[cut-1], median(all), all[len(all)-cut], true
}

// rankSumCut is how many of the differences at each end the interval leaves out, the
// one at its end included; 0: there is no interval.
func rankSumCut(n, m int) (cut int) {
	d := stats.UDist{N1: n, N2: m}
	for 2*d.CDF(float64(cut)) <= noise {
		cut++
	}
	return cut
}

// runsNeeded is the least number for each side for which there is an interval.
func runsNeeded() (n int) {
	for n = 1; rankSumCut(n, n) == 0; n++ {
	}
	return n
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
