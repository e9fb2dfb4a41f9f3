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
	Exact Kind = "exact" // counted: the same each time, within a margin
	Noisy Kind = "noisy" // measured: judged by a test on many samples
	Shown Kind = "shown" // not judged
)

// kinds are all, the least strict first.
var kinds = []Kind{Shown, Noisy, Exact}

// Config is bench/gate.yaml. ParseConfig puts defaults where it says nothing.
type Config struct {
	// Pairs is how many samples each side gives of a benchmark with noisy
	// figures; at least 10, default 15. More see smaller effects and take longer.
	Pairs int `yaml:"pairs" json:"pairs"`
	// Samples is the same where only exact figures are judged; default 3.
	Samples int `yaml:"samples" json:"samples"`
	// P is how often a run in which nothing changed may find a difference in any
	// of its noisy figures; default 0.01.
	P float64 `yaml:"p" json:"p"`
	// Metrics: the first that is about a figure decides; what none is about is
	// shown.
	Metrics []Metric `yaml:"metrics" json:"metrics"`
}

// Metric is what holds for the figures of one unit.
type Metric struct {
	Unit      string `yaml:"unit" json:"unit"`
	Benchmark string `yaml:"benchmark" json:"benchmark,omitempty"` // regular expression; empty: every one
	Kind      Kind   `yaml:"kind" json:"kind"`
	// Higher is true where more is better; costs are better when lower.
	Higher bool `yaml:"higher-is-better" json:"higher_is_better,omitempty"`

	// Of exact figures: how much worse is still the same. The greater counts.
	Margin        float64 `yaml:"margin" json:"margin,omitempty"`                 // in the unit
	MarginPercent float64 `yaml:"margin-percent" json:"margin_percent,omitempty"` // of the base

	// Of noisy figures.
	ThresholdPercent float64 `yaml:"threshold-percent" json:"threshold_percent,omitempty"` // a median that is worse by more fails
	SeePercent       float64 `yaml:"see-percent" json:"see_percent,omitempty"`             // a run that could not have seen this is unstable; default twice the threshold

	benchmark *regexp.Regexp
}

// minPairs is the least number of pairs that noisy figures are judged by: with
// fewer, no difference could pass Holm's first step in a run of ten metrics.
const minPairs = 10

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

// complete checks c and fills in what follows from the rest.
func (c *Config) complete() error {
	var faults []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	must(c.Pairs >= minPairs, "pairs %d: at least %d", c.Pairs, minPairs)
	must(c.Samples >= 2, "samples %d: at least 2, for they must agree", c.Samples)
	must(c.P > 0 && c.P <= 0.1, "p %v: above 0, at most 0.1", c.P)
	must(len(c.Metrics) > 0, "metrics: at least one")
	for i := range c.Metrics {
		m := &c.Metrics[i]
		at := fmt.Sprintf("metric %d (%s)", i+1, m.Unit)
		must(m.Unit != "", "%s: unit is missing", at)
		var err error
		m.benchmark, err = regexp.Compile(m.Benchmark)
		must(err == nil, "%s: benchmark: %v", at, err)
		must(slices.Contains(kinds, m.Kind), "%s: kind %q: exact, noisy or shown", at, m.Kind)
		must(m.Margin >= 0 && m.MarginPercent >= 0 && m.ThresholdPercent >= 0 && m.SeePercent >= 0, "%s: limits are not below 0", at)
		must(m.Kind == Exact || m.Margin == 0 && m.MarginPercent == 0, "%s: margin and margin-percent are for exact figures", at)
		must(m.Kind == Noisy || m.ThresholdPercent == 0 && m.SeePercent == 0, "%s: threshold-percent and see-percent are for noisy figures", at)
		if m.Kind == Noisy {
			must(m.ThresholdPercent > 0, "%s: threshold-percent is missing", at)
			if m.SeePercent == 0 {
				m.SeePercent = 2 * m.ThresholdPercent
			}
			must(m.SeePercent >= m.ThresholdPercent, "%s: see-percent is at least threshold-percent", at)
		}
	}
	return errors.Join(faults...)
}

// Metric returns what holds for a figure.
func (c *Config) Metric(benchmark, unit string) Metric {
	for _, m := range c.Metrics {
		if m.Unit == unit && (m.benchmark == nil || m.benchmark.MatchString(benchmark)) {
			return m
		}
	}
	return Metric{Unit: unit, Kind: Shown}
}

// margin is how much worse than base is still the same, in the unit.
func (m *Metric) margin(base float64) float64 {
	return max(m.Margin, m.MarginPercent/100*math.Abs(base))
}

// key names the metric among those of a configuration.
func (m *Metric) key() string {
	if m.Benchmark == "" {
		return m.Unit
	}
	return m.Unit + " of " + m.Benchmark
}

// Change is one difference between two configurations.
type Change struct {
	What   string `json:"what"` // "cpu-ns/delivery: threshold-percent"
	Base   string `json:"base"`
	Head   string `json:"head"`
	Raised bool   `json:"raised"` // head lets pass what base would not
}

// Changes returns what is different in head, raised limits first. Pairs and
// samples that became fewer count as raised: less is seen.
func Changes(base, head *Config) []Change {
	var raised, other []Change
	differ := func(what string, b, h any, raises bool) {
		switch c := (Change{what, text(b), text(h), raises}); {
		case b == h:
		case raises:
			raised = append(raised, c)
		default:
			other = append(other, c)
		}
	}
	differ("pairs", base.Pairs, head.Pairs, head.Pairs < base.Pairs)
	differ("samples", base.Samples, head.Samples, head.Samples < base.Samples)
	differ("p", base.P, head.P, head.P < base.P)
	for i := range base.Metrics {
		b := &base.Metrics[i]
		key, h := b.key(), head.named(b.key())
		if h == nil {
			differ(key, b.Kind, "–", b.Kind != Shown)
			continue
		}
		differ(key+": kind", b.Kind, h.Kind, slices.Index(kinds, h.Kind) < slices.Index(kinds, b.Kind))
		differ(key+": higher-is-better", b.Higher, h.Higher, true)
		differ(key+": margin", b.Margin, h.Margin, h.Margin > b.Margin)
		differ(key+": margin-percent", b.MarginPercent, h.MarginPercent, h.MarginPercent > b.MarginPercent)
		differ(key+": threshold-percent", b.ThresholdPercent, h.ThresholdPercent, h.ThresholdPercent > b.ThresholdPercent)
		differ(key+": see-percent", b.SeePercent, h.SeePercent, h.SeePercent > b.SeePercent)
	}
	for i := range head.Metrics {
		if h := &head.Metrics[i]; base.named(h.key()) == nil {
			// An entry before a wider one takes figures away from it.
			differ(h.key(), "–", h.Kind, h.Benchmark != "")
		}
	}
	return append(raised, other...)
}

func text(v any) string {
	if x, ok := v.(float64); ok {
		return number(x)
	}
	return fmt.Sprint(v)
}

// named returns the metric of that key, or nil.
func (c *Config) named(key string) *Metric {
	i := slices.IndexFunc(c.Metrics, func(m Metric) bool { return m.key() == key })
	if i < 0 {
		return nil
	}
	return &c.Metrics[i]
}
