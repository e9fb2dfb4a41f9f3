package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Kind is how the figures of a metric are judged.
type Kind string

const (
	Exact Kind = "exact" // counted: the same in each run, within a margin
	Noisy Kind = "noisy" // measured: judged by a test on many samples
	Shown Kind = "shown" // not judged
)

// kinds are all kinds, the least strict first.
var kinds = []Kind{Shown, Noisy, Exact}

// Config is the content of bench/gate.yaml. ParseConfig adds the defaults.
type Config struct {
	// Pairs is the number of samples of each side for a benchmark with noisy
	// figures; default 15. More pairs detect smaller effects and take longer.
	Pairs int `yaml:"pairs" json:"pairs"`
	// Samples is the same for a benchmark with exact figures only; default 3.
	Samples int `yaml:"samples" json:"samples"`
	// P is the probability that a run without a change finds one in any noisy figure,
	// and that one with a figure that is worse by its SeePercent passes; default 0.01.
	P float64 `yaml:"p" json:"p"`
	// Metrics: the first that matches a figure applies. A figure without a match is
	// shown.
	Metrics []Metric `yaml:"metrics" json:"metrics"`
	// Sets are selections of benchmarks, by name: --set.
	Sets map[string]Set `yaml:"sets" json:"sets,omitempty"`

	set  Set     // the selection in use
	also *Config // base's, with its selection: the stricter limit applies; may be nil
}

// Set is a selection of benchmarks, for a run that must be short.
type Set struct {
	Benchmarks string `yaml:"benchmarks" json:"benchmarks,omitempty"` // regular expression
	Pairs      int    `yaml:"pairs" json:"pairs,omitempty"`           // instead of Config.Pairs; 0: those
	Figures    string `yaml:"figures" json:"figures,omitempty"`       // of the noisy figures, only units that this regular expression matches are judged

	benchmarks, figures *regexp.Regexp
}

// Metric sets how the figures of one unit are judged.
type Metric struct {
	Unit      string `yaml:"unit" json:"unit"`
	Benchmark string `yaml:"benchmark" json:"benchmark,omitempty"` // regular expression; empty: all
	Kind      Kind   `yaml:"kind" json:"kind"`
	// Higher means that more is better.
	Higher bool `yaml:"higher-is-better" json:"higher_is_better,omitempty"`

	// For exact figures: how much worse is still a pass. The greater one applies.
	Margin        float64 `yaml:"margin" json:"margin,omitempty"`                 // in the unit
	MarginPercent float64 `yaml:"margin-percent" json:"margin_percent,omitempty"` // of the base

	// For noisy figures.
	ThresholdPercent float64 `yaml:"threshold-percent" json:"threshold_percent,omitempty"` // an estimate that is worse by more than this fails
	SeePercent       float64 `yaml:"see-percent" json:"see_percent,omitempty"`             // a figure passes if a change for the worse by this is excluded; default: twice the threshold
	Floor            float64 `yaml:"floor" json:"floor,omitempty"`                         // values below count as this, in the unit

	benchmark *regexp.Regexp
}

// MinPairs is the minimum number of pairs for noisy figures: with fewer, no interval
// could be finite, whatever P is.
const MinPairs = 6

func defaults() Config { return Config{Pairs: 15, Samples: 3, P: 0.01} }

// ParseConfig reads a gate.yaml. An error names all faults.
func ParseConfig(b []byte) (*Config, error) {
	c := defaults()
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &c, c.complete()
}

// complete validates c and computes what follows from the rest.
func (c *Config) complete() error {
	var faults []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	must(c.Pairs >= MinPairs, "pairs %d: at least %d", c.Pairs, MinPairs)
	must(c.Samples >= 2, "samples %d: at least 2, because they must agree", c.Samples)
	must(c.P > 0 && c.P <= 0.1, "p %v: above 0, at most 0.1", c.P)
	must(len(c.Metrics) > 0, "metrics: at least one")
	for name, set := range c.Sets {
		var err, err2 error
		set.benchmarks, err = regexp.Compile(set.Benchmarks)
		set.figures, err2 = regexp.Compile(set.Figures)
		must(err == nil && err2 == nil, "set %s: %v", name, errors.Join(err, err2))
		must(set.Pairs == 0 || set.Pairs >= MinPairs, "set %s: pairs %d: at least %d", name, set.Pairs, MinPairs)
		c.Sets[name] = set
	}
	for i := range c.Metrics {
		m := &c.Metrics[i]
		at := fmt.Sprintf("metric %d (%s)", i+1, m.Unit)
		must(m.Unit != "", "%s: unit is missing", at)
		var err error
		m.benchmark, err = regexp.Compile(m.Benchmark)
		must(err == nil, "%s: benchmark: %v", at, err)
		must(slices.Contains(kinds, m.Kind), "%s: kind %q: exact, noisy or shown", at, m.Kind)
		must(m.Margin >= 0 && m.MarginPercent >= 0 && m.ThresholdPercent >= 0 && m.SeePercent >= 0 && m.Floor >= 0, "%s: limits must not be negative", at)
		must(m.Kind == Exact || m.Margin == 0 && m.MarginPercent == 0, "%s: margin and margin-percent are for exact figures", at)
		must(m.Kind == Noisy || m.ThresholdPercent == 0 && m.SeePercent == 0 && m.Floor == 0, "%s: threshold-percent, see-percent and floor are for noisy figures", at)
		if m.Kind == Noisy {
			must(m.ThresholdPercent > 0, "%s: threshold-percent is missing", at)
			if m.SeePercent == 0 {
				m.SeePercent = 2 * m.ThresholdPercent
			}
			must(m.SeePercent >= m.ThresholdPercent, "%s: see-percent must be at least threshold-percent", at)
			must(!m.Higher || m.SeePercent < 100, "%s: see-percent must be below 100 if higher is better", at)
		}
	}
	return errors.Join(faults...)
}

// Use selects the set of that name; "" is everything. ok is false if there is none.
func (c *Config) Use(name string) (ok bool) {
	if name == "" {
		return true
	}
	if c.set, ok = c.Sets[name]; c.set.Pairs > 0 {
		c.Pairs = c.set.Pairs
	}
	return ok
}

// Tighten makes c as strict as base everywhere, also in the selection in use: the same
// one of base, if base has it, or else head's. base must not be used elsewhere.
func (c *Config) Tighten(base *Config, set string) {
	if !base.Use(set) {
		base.set, base.Pairs = c.set, c.Pairs
	}
	c.also = base
	c.Pairs, c.Samples, c.P = max(c.Pairs, base.Pairs), max(c.Samples, base.Samples), base.P
}

// Selects reports whether the selection in use contains a benchmark.
func (c *Config) Selects(benchmark string) bool {
	return c.set.benchmarks == nil || c.set.benchmarks.MatchString(benchmark) || c.also != nil && c.also.Selects(benchmark)
}

// level is the probability that one interval of a run with so many noisy figures may
// miss: each figure has two looks.
func (c *Config) level(figures int) float64 { return c.P / float64(2*figures) }

// passing is the probability that the upper end of an interval may be below the truth.
// The first look has a small part of P, because a figure that it does not let pass gets
// a second one; both together have P.
func (c *Config) passing(pairs int) float64 {
	const first = 0.1
	if pairs <= c.Pairs {
		return first * c.P
	}
	return (1 - first) * c.P
}

// Metric returns the metric that applies to a figure.
func (c *Config) Metric(benchmark, unit string) Metric {
	m := Metric{Unit: unit, Kind: Shown}
	i := slices.IndexFunc(c.Metrics, func(m Metric) bool {
		return m.Unit == unit && (m.benchmark == nil || m.benchmark.MatchString(benchmark))
	})
	if i >= 0 {
		m = c.Metrics[i]
	}
	if m.Kind == Noisy && c.set.figures != nil && !c.set.figures.MatchString(unit) {
		m = Metric{Unit: unit, Kind: Shown}
	}
	if c.also == nil {
		return m
	}
	return stricter(c.also.Metric(benchmark, unit), m)
}

// stricter returns the metric that lets pass only what both let pass: the stricter
// kind, and the lower one of each limit.
func stricter(base, head Metric) Metric {
	switch b, h := slices.Index(kinds, base.Kind), slices.Index(kinds, head.Kind); {
	case b > h, b == h && base.Higher != head.Higher:
		return base
	case h > b:
		return head
	}
	head.Margin, head.MarginPercent = min(base.Margin, head.Margin), min(base.MarginPercent, head.MarginPercent)
	head.ThresholdPercent, head.SeePercent = min(base.ThresholdPercent, head.ThresholdPercent), min(base.SeePercent, head.SeePercent)
	head.Floor = min(base.Floor, head.Floor)
	return head
}

// margin is how much worse than base is still a pass, in the unit.
func (m *Metric) margin(base float64) float64 {
	return max(m.Margin, m.MarginPercent/100*math.Abs(base))
}
