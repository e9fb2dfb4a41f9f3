package document

import (
	"math"
	"slices"
	"strings"
	"testing"

	"peal/bench"
)

func TestSpread(t *testing.T) {
	ten := []float64{10, 1, 9, 2, 8, 3, 7, 4, 6, 5}
	for _, c := range []struct {
		of   []float64
		want string
	}{
		{nil, "–"},
		{[]float64{2.5}, "2.50"},
		{ten[:5], "8 [1–10]"},                               // too few: smallest and greatest
		{[]float64{6, 5, 4, 3, 2, 1}, "3.50 [1–6]"},         // the least that is enough
		{ten, "5.50 [2–9]"},                                 // binomial: 97.9 %, the next inner pair 89 %
		{[]float64{1, 2, 3, 4, 5, 6, 7, 100}, "4.50 [1–7]"}, // 96.1 %: of two that are the same wide in ranks, one is taken
		{[]float64{1, math.Inf(1)}, "lost"},
	} {
		if got := spread(c.of, ""); got != c.want {
			t.Errorf("spread(%v) = %s, want %s", c.of, got, c.want)
		}
	}
}

func TestBracketsAreExplained(t *testing.T) {
	for _, c := range []struct {
		n    []int
		want string
	}{
		{[]int{1, 1}, "n = 1"},
		{[]int{3}, "n = 3, medians [smallest–greatest]"},
		{[]int{6, 7}, "n = 6 to 7, medians [95 % confidence interval]"},
		{[]int{1, 9}, "smallest–greatest where n < 6]"},
	} {
		if got := brackets(c.n); !strings.Contains(got, c.want) {
			t.Errorf("brackets(%v) = %s, want %q in it", c.n, got, c.want)
		}
	}
}

// A reason for what is no longer measured would never be read.
func TestReasonsAreForWhatIsMeasured(t *testing.T) {
	config := bench.Full()
	keys := []string{"hundred-thousand"}
	for _, e := range slices.Concat(config.Experiments(), config.MemoryExperiments(), config.AuthExperiments(new(bench.Auth)), config.RequestExperiments(), config.SetExperiments(), config.WorkloadExperiments(), config.EdgeExperiments()) {
		keys = append(keys, e.Key)
	}
	for _, server := range []string{"nchan", "centrifugo", "mercure"} {
		for _, v := range rivals {
			keys = append(keys, "peers-"+server+"-"+v.key)
		}
	}
	for reason := range reasons {
		used := false
		for _, key := range keys {
			used = used || strings.HasPrefix(key, reason)
		}
		if !used {
			t.Errorf("the reason %q begins no key that there is: %q", reason, keys)
		}
	}
}
