package gate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Change is one difference between two configurations, or two files of kept figures.
type Change struct {
	What   string `json:"what"` // "cpu-ns/delivery: threshold-percent"
	Base   string `json:"base"`
	Head   string `json:"head"`
	Raised bool   `json:"raised"` // head lets more pass than base
}

// limit is what head could loosen.
type limit struct {
	what    string
	value   any
	size    float64
	looser, // 1: a greater size lets more pass; -1: a smaller one does; 0: any change does
	slack float64 // by more than this
	optional bool // a missing limit is the same as 0
	narrow   bool // one that only head has takes figures from another
}

// Changes returns the differences of head, raised limits first. Fewer pairs or
// samples count as raised, because the run detects less.
func Changes(base, head *Config) []Change { return changes(base.limits(), head.limits()) }

// Rewritten compares the baselines of the repository at base and at head. A figure
// that is worse in head's file counts as raised.
func Rewritten(config *Config, base, head *Result) []Change {
	return changes(base.limits(config), head.limits(config))
}

func (c *Config) limits() []limit {
	all := []limit{{what: "pairs", value: c.Pairs, size: float64(c.Pairs), looser: -1},
		{what: "samples", value: c.Samples, size: float64(c.Samples), looser: -1},
		{what: "p", value: c.P}} // higher: more false alarms; lower: less is found
	for _, m := range c.Metrics {
		key := m.Unit
		if m.Benchmark != "" {
			key += " of " + m.Benchmark
		}
		all = append(all, limit{what: key + ": kind", value: m.Kind, size: float64(slices.Index(kinds, m.Kind)), looser: -1, optional: true, narrow: m.Benchmark != ""},
			limit{what: key + ": higher-is-better", value: m.Higher, optional: true})
		for _, l := range []limit{{what: "margin", size: m.Margin}, {what: "margin-percent", size: m.MarginPercent},
			{what: "threshold-percent", size: m.ThresholdPercent}, {what: "see-percent", size: m.SeePercent}, {what: "floor", size: m.Floor}} {
			all = append(all, limit{what: key + ": " + l.what, value: l.size, size: l.size, looser: 1, optional: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		set := c.Sets[name]
		all = append(all, limit{what: "set " + name + ": benchmarks", value: set.Benchmarks}, limit{what: "set " + name + ": figures", value: set.Figures},
			limit{what: "set " + name + ": pairs", value: set.Pairs, size: float64(set.Pairs), looser: -1})
	}
	return all
}

func (r *Result) limits(config *Config) (all []limit) {
	for _, f := range r.Figures {
		if f.HeadMedian == nil {
			continue
		}
		m := config.Metric(f.Benchmark, f.Unit)
		all = append(all, limit{what: f.Benchmark + ": " + f.Unit, value: *f.HeadMedian, size: *f.HeadMedian, looser: m.worse(0, 1), slack: m.margin(*f.HeadMedian)})
	}
	return all
}

func changes(base, head []limit) (all []Change) {
	for _, b := range base {
		h, is := named(head, b.what)
		switch {
		case is && h.value != b.value:
			all = append(all, Change{b.what, b.text(), h.text(), b.looser == 0 || b.looser*(h.size-b.size) > b.slack})
		case !is && !(b.optional && b.size == 0):
			all = append(all, Change{b.what, b.text(), "–", true})
		}
	}
	for _, h := range head {
		if _, is := named(base, h.what); !is && !(h.optional && h.size == 0) {
			all = append(all, Change{h.what, "–", h.text(), h.narrow})
		}
	}
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(raised([]Change{b}), raised([]Change{a})) })
	return all
}

func named(all []limit, what string) (l limit, is bool) {
	if i := slices.IndexFunc(all, func(l limit) bool { return l.what == what }); i >= 0 {
		return all[i], true
	}
	return l, false
}

func (l *limit) text() string {
	if x, ok := l.value.(float64); ok {
		return number(x)
	}
	return fmt.Sprint(l.value)
}

// raised is how many changes let more pass.
func raised(all []Change) (n int) {
	for _, c := range all {
		if c.Raised {
			n++
		}
	}
	return n
}
