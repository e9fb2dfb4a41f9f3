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

// compare returns Mann-Whitney's p, two-sided, of two sets of samples: how often
// chance alone would order them as unevenly. Equal samples give 1.
func compare(a, b []float64) float64 {
	return benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
}

// sample copies v, because benchmath sorts.
func sample(v []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds)
}

// holm returns for each of ps the level it had to be below, by Holm's step-down
// over all of them: p for the run as a whole. After the first that is not below
// its own level the levels stay, and nothing is significant any more.
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

// criticalU returns the least Mann-Whitney U, counted from the upper half, that
// is significant at level between n1 and n2 samples without ties; ok is false
// where even the greatest is not. It asks benchmath, with samples made up to
// have each U.
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
	resamples  = 200   // runs like this one that are made up for smallestEffect
	effectStep = 0.001 // what it is exact to
	effectMax  = 4.0   // beyond this it is +Inf
)

// smallestEffect returns by what share head must be worse for the test to see it
// at level in 9 of 10 runs with as many samples that spread as these did. The
// runs are drawn from the samples themselves, each side put on its own median
// first; for each run the least effect is sought that makes its U critical. It
// is +Inf where the samples are too few, and for values not above 0.
func smallestEffect(base, head []float64, level float64) float64 {
	if len(base) == 0 || len(head) == 0 || slices.Min(base) <= 0 || slices.Min(head) <= 0 {
		return math.Inf(1)
	}
	u, ok := criticalU(len(base), len(head), level)
	if !ok {
		return math.Inf(1)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same samples give the same answer
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

// ahead is Mann-Whitney's U of head times factor: in how many pairs it is above
// base. Both are sorted.
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

// centred puts v on a median of 1.
func centred(v []float64) []float64 {
	median := record.Median(v)
	c := make([]float64, len(v))
	for i := range v {
		c[i] = v[i] / median
	}
	return c
}

// draw fills into, sorted, by chance from from.
func draw(random *rand.Rand, into, from []float64) {
	for i := range into {
		into[i] = from[random.IntN(len(from))]
	}
	slices.Sort(into)
}

// disagreement is how far the samples of an exact figure are apart. Of every
// five, one may be out: the farthest from the median do not count.
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
