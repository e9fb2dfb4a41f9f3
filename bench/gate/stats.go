package gate

import (
	"cmp"
	"math"
	"slices"

	"peal/bench/record"
)

// signedRank are values d whose centre is estimated, whatever their symmetric
// distribution is: their number, and their Walsh averages in order, the means of each two
// of d and of each with itself.
// Source: Hollander, Wolfe, Chicken: Nonparametric Statistical Methods, 3rd edition,
// sections 3.1 to 3.3.
type signedRank struct {
	n     int
	walsh []float64
}

func newSignedRank(d []float64) *signedRank {
	s := &signedRank{n: len(d)}
	for i, x := range d {
		for _, y := range d[:i+1] {
			s.walsh = append(s.walsh, (x+y)/2)
		}
	}
	slices.Sort(s.walsh)
	return s
}

// estimate is that of Hodges and Lehmann: the median of the Walsh averages.
func (s *signedRank) estimate() float64 { return record.Median(s.walsh) }

// interval misses the centre with a probability of at most level, half of it on each
// side. It goes from one Walsh average to another: those at which Wilcoxon's signed-rank
// test turns. Its distribution is exact, by counting. Ties make the interval wider, not
// narrower. With too few values it is infinite.
func (s *signedRank) interval(level float64) (low, high float64) {
	if c := critical(s.n, level); c > 0 {
		return s.walsh[c-1], s.walsh[len(s.walsh)-c]
	}
	return math.Inf(-1), math.Inf(1)
}

// critical returns how many rank sums, from 0 up, have together a probability of at
// most level/2, if each rank from 1 to n is counted or not with equal chance.
func critical(n int, level float64) (c int) {
	chance := make([]float64, n*(n+1)/2+1) // of each sum
	chance[0] = 1
	for rank := 1; rank <= n; rank++ {
		for sum := len(chance) - 1; sum >= 0; sum-- {
			chance[sum] /= 2
			if sum >= rank {
				chance[sum] += chance[sum-rank] / 2
			}
		}
	}
	for below := chance[0]; below <= level/2; below += chance[c] {
		c++
	}
	return c
}

// fewest returns how many pairs an interval at this level needs to be finite.
func fewest(level float64) int { return int(math.Ceil(math.Log2(2 / level))) }

// disagreement is the range of the samples of an exact figure. It ignores one of
// every five, those farthest from the median.
func disagreement(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	median := record.Median(v)
	near := slices.Clone(v)
	slices.SortFunc(near, func(a, b float64) int {
		return cmp.Compare(math.Abs(a-median), math.Abs(b-median))
	})
	near = near[:len(near)-len(near)/5]
	return slices.Max(near) - slices.Min(near)
}
