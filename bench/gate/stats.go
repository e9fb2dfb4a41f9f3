package gate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"golang.org/x/perf/benchmath"

	"peal/bench/record"
)

// compare returns p of the two-sided Mann-Whitney test of two sets of samples. Equal
// samples give 1.
func compare(a, b []float64) float64 {
	return benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
}

// sample copies v, because benchmath sorts.
func sample(v []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds)
}

// holm returns for each of ps the level that it must be below, by Holm's step-down
// procedure with p for all of them. After the first that is not below its level,
// the level stays the same, and nothing more is significant.
func holm(ps []float64, p float64) []float64 {
	byP := make([]int, len(ps))
	for i := range byP {
		byP[i] = i
	}
	slices.SortStableFunc(byP, func(i, j int) int { return cmp.Compare(ps[i], ps[j]) })
	levels := make([]float64, len(ps))
	stopped := -1.0
	for step, i := range byP {
		levels[i] = p / float64(len(ps)-step)
		if stopped >= 0 {
			levels[i] = stopped
		} else if ps[i] >= levels[i] {
			stopped = levels[i]
		}
	}
	return levels
}

// criticalU returns the smallest Mann-Whitney U in the upper half that is significant
// at level for n1 and n2 samples without ties; ok is false if even the greatest is
// not. It calls benchmath with samples constructed to have that U.
func criticalU(n1, n2 int, level float64) (u int, ok bool) {
	base := make([]float64, n1)
	for i := range base {
		base[i] = float64(i + 1)
	}
	head := make([]float64, n2)
	significant := func(u int) bool {
		for i := range head {
			below := u / n2 // of base
			if i < u%n2 {
				below++
			}
			head[i] = float64(below) + 0.5 + float64(i)/float64(4*n2) // no two are equal
		}
		return compare(base, head) < level
	}
	first := (n1*n2 + 1) / 2
	u = first + sort.Search(n1*n2+1-first, func(i int) bool { return significant(first + i) })
	return u, u <= n1*n2
}

const (
	resamples  = 200   // simulated runs
	effectStep = 0.001 // resolution
	effectMax  = 4.0   // beyond this it is +Inf
)

// smallestEffect returns how much worse head must be, as a share, for the test to
// detect it at level in 9 of 10 runs with as many samples and the same spread. It
// scales each side to a median of 1 and resamples both; for each resample it searches
// the smallest effect that makes U critical. It is +Inf with too few samples, and for
// values not above 0.
func smallestEffect(base, head []float64, level float64) float64 {
	if len(base) == 0 || len(head) == 0 || slices.Min(base) <= 0 || slices.Min(head) <= 0 {
		return math.Inf(1)
	}
	u, ok := criticalU(len(base), len(head), level)
	if !ok {
		return math.Inf(1)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same samples give the same result
	base, head = centred(base), centred(head)
	b, h := make([]float64, len(base)), make([]float64, len(head))
	steps := int(effectMax / effectStep)
	needs := make([]int, resamples)
	for r := range needs {
		draw(random, b, base)
		draw(random, h, head)
		needs[r] = sort.Search(steps+1, func(i int) bool { return ahead(b, h, 1+float64(i)*effectStep) >= u })
	}
	slices.Sort(needs)
	if need := needs[resamples*9/10]; need <= steps {
		return float64(need) * effectStep
	}
	return math.Inf(1)
}

// ahead returns the Mann-Whitney U of head times factor: the number of pairs in which
// it is above base. Both are sorted.
func ahead(base, head []float64, factor float64) (u int) {
	i := 0
	for _, x := range head {
		for i < len(base) && base[i] < x*factor {
			i++
		}
		u += i
	}
	return u
}

// centred scales v to a median of 1.
func centred(v []float64) []float64 {
	median := record.Median(v)
	c := make([]float64, len(v))
	for i := range v {
		c[i] = v[i] / median
	}
	return c
}

// draw fills into with random values of from, sorted.
func draw(random *rand.Rand, into, from []float64) {
	for i := range into {
		into[i] = from[random.IntN(len(from))]
	}
	slices.Sort(into)
}

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
