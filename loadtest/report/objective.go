package report

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// Objective is a condition that makes a run fail: "p99>50ms".
type Objective struct {
	Text   string
	Metric string
	sign   string
	limit  float64 // in the metric's unit: ns, bytes, or a number
}

// Judged is what became of an objective.
type Judged struct {
	Objective string   `json:"objective"`
	Value     *float64 `json:"value"` // ms, bytes or a number; nil: infinite, for a message was lost
	Met       bool     `json:"met"`
}

// unit is what a metric is counted in.
type unit uint8

const (
	number unit = iota
	duration
	bytes
)

// metric is one thing that objectives can be about. measured is false where a
// report does not say.
type metric struct {
	name  string
	unit  unit
	value func(r *Report) (v float64, measured bool)
	// needs is what a run must have for it.
	needs Need
}

// Need is what a metric takes to be measured.
type Need uint8

const (
	NeedsConnections Need = iota // every scenario has it
	NeedsMessages
	NeedsServer // --pid or --admin
	NeedsSoak
	NeedsStorm // or restarts
)

var metrics = []metric{
	{"p50", duration, latencyAt(0.5), NeedsMessages},
	{"p90", duration, latencyAt(0.9), NeedsMessages},
	{"p99", duration, latencyAt(0.99), NeedsMessages},
	{"p99.9", duration, latencyAt(0.999), NeedsMessages},
	{"max", duration, latencyAt(1), NeedsMessages},
	{"lost", number, ofMessages(func(m *Messages) uint64 { return m.Lost }), NeedsMessages},
	{"duplicated", number, ofMessages(func(m *Messages) uint64 { return m.Duplicated }), NeedsMessages},
	{"reordered", number, ofMessages(func(m *Messages) uint64 { return m.Reordered }), NeedsMessages},
	{"errors", number, func(r *Report) (float64, bool) { return float64(r.Errors()), true }, NeedsConnections},
	{"connect_p99", duration, func(r *Report) (float64, bool) { return quantile(r.Connections.Handshake, 0.99) }, NeedsConnections},
	{"bytes_per_connection", bytes, func(r *Report) (float64, bool) {
		if r.Server == nil || r.Server.BytesPerConnection == nil {
			return 0, false
		}
		return *r.Server.BytesPerConnection, true
	}, NeedsServer},
	{"recovery_max", duration, func(r *Report) (float64, bool) {
		switch {
		case r.Storm != nil:
			return quantile(r.Storm.Recovery, 1)
		case r.Restart != nil:
			return quantile(r.Restart.Recovery, 1)
		}
		return 0, false
	}, NeedsStorm},
	{"memory_slope", bytes, func(r *Report) (float64, bool) {
		if r.Soak == nil {
			return 0, false
		}
		return r.Soak.MemorySlope, true
	}, NeedsSoak},
	{"descriptors_slope", number, func(r *Report) (float64, bool) {
		if r.Soak == nil || r.Soak.DescriptorsSlope == nil {
			return 0, false
		}
		return *r.Soak.DescriptorsSlope, true
	}, NeedsSoak},
}

func latencyAt(q float64) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) { return quantile(r.Latency, q) }
}

// quantile is in nanoseconds, and infinite where that message was lost.
func quantile(t *Times, q float64) (float64, bool) {
	if t == nil || t.Histogram == nil || t.Histogram.Count() == 0 {
		return 0, false
	}
	v := t.Histogram.Quantile(q)
	if v >= loadtest.Never {
		return math.Inf(1), true
	}
	return float64(v), true
}

func ofMessages(count func(*Messages) uint64) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		if r.Messages == nil || r.Messages.Expected == 0 {
			return 0, false
		}
		return float64(count(r.Messages)), true
	}
}

func find(name string) *metric {
	for i := range metrics {
		if metrics[i].name == name {
			return &metrics[i]
		}
	}
	return nil
}

// Metrics are the names that objectives can have.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return names
}

var objectiveForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*(\S+)\s*$`)

// ParseObjective reads "p99>50ms": a metric, one of < > <= >=, and a limit with
// the metric's unit.
func ParseObjective(text string) (Objective, error) {
	parts := objectiveForm.FindStringSubmatch(text)
	if parts == nil {
		return Objective{}, fmt.Errorf("objective %q: must be like 'p99>50ms' or 'lost>0'", text)
	}
	m := find(parts[1])
	if m == nil {
		return Objective{}, fmt.Errorf("objective %q: %q is not measured; there are %s", text, parts[1], strings.Join(Metrics(), ", "))
	}
	limit, err := m.unit.parse(parts[3])
	if err != nil {
		return Objective{}, fmt.Errorf("objective %q: %w", text, err)
	}
	return Objective{Text: strings.TrimSpace(text), Metric: m.name, sign: parts[2], limit: limit}, nil
}

// Needs says what a run must have for o to be measured.
func (o Objective) Needs() Need { return find(o.Metric).needs }

var byteUnits = []struct {
	suffix string
	factor float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

func (u unit) parse(text string) (float64, error) {
	factor := 1.0
	switch u {
	case duration:
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, fmt.Errorf("the limit %q must have a unit: 50ms, 1.5s, 800us", text)
		case d >= loadtest.Never:
			return 0, fmt.Errorf("the limit %v: longer than what is measured, 100 s", d)
		}
		return float64(d), nil
	case bytes:
		for _, b := range byteUnits {
			if rest, ok := strings.CutSuffix(text, b.suffix); ok {
				text, factor = rest, b.factor
				break
			}
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("the limit %q is not a number", text)
	}
	return v * factor, nil
}

// ErrUnmeasured means that an objective is about what a run did not measure: it
// is neither met nor missed.
var ErrUnmeasured = errors.New("not measured")

// Judge fills in r.Objectives. missed are the texts of those that r misses, with
// its values; the error is ErrUnmeasured, with which.
func (r *Report) Judge(objectives []Objective) (missed []string, err error) {
	r.Objectives = []Judged{}
	for _, o := range objectives {
		m := find(o.Metric)
		v, measured := m.value(r)
		if !measured {
			err = errors.Join(err, fmt.Errorf("objective %s: %w in this run", o.Text, ErrUnmeasured))
			continue
		}
		met := !o.holds(v)
		if !met {
			missed = append(missed, fmt.Sprintf("%s (it is %s)", o.Text, m.unit.format(v)))
		}
		r.Objectives = append(r.Objectives, Judged{o.Text, m.unit.json(v), met})
	}
	return missed, err
}

// holds reports whether v fulfils the condition, which fails the run.
func (o Objective) holds(v float64) bool {
	switch o.sign {
	case "<":
		return v < o.limit
	case "<=":
		return v <= o.limit
	case ">":
		return v > o.limit
	}
	return v >= o.limit
}

func (u unit) json(v float64) *float64 {
	if math.IsInf(v, 0) {
		return nil
	}
	if u == duration {
		v /= 1e6
	}
	return &v
}

func (u unit) format(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "lost"
	case u == duration:
		return Millis(v/1e6) + " ms"
	case u == bytes:
		return size(v)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
