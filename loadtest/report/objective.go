package report

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"peal/loadtest"
)

// Objective is a condition that makes a run fail: "p99>50ms".
type Objective struct {
	Text   string
	Metric string
	Stage  int  // whose figure it is, counted from 1; 0: that of the run
	share  bool // the limit is in percent of the expected deliveries
	sign   string
	limit  float64 // in the metric's unit: ns, bytes, or a number
}

// Upper reports whether the condition is about too much of something.
func (o Objective) Upper() bool { return o.sign[0] == '>' }

func (o Objective) String() string { return o.Text }

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
	deliveries // a number, or a share of those that were expected
	percent
)

// Need is what a metric takes to be measured.
type Need uint8

const (
	NeedsConnections Need = iota // every scenario has it
	NeedsMessages
	NeedsServer // --pid or --admin
	NeedsSoak
	NeedsStorm // or restarts
	NeedsUpgrades
)

// metric is one thing that objectives and comparisons can be about.
type metric struct {
	name  string // in objectives; "": only compared
	title string // in comparisons; "": only an objective
	unit  unit
	more  bool // more of it is better
	needs Need // what a run must have for it
	value value
}

// value reads a metric from a report. measured is false where the report does not
// have it.
type value func(r *Report) (v float64, measured bool)

var metrics = []metric{
	{"", "connections opened", number, true, NeedsConnections, func(r *Report) (float64, bool) { return float64(r.Connections.Opened), true }},
	{"connect_p99", "connect p99", duration, false, NeedsConnections, func(r *Report) (float64, bool) { return quantile(r.Connections.Handshake, 0.99) }},
	{"p50", "p50", duration, false, NeedsMessages, latencyAt(0.5)},
	{"p90", "p90", duration, false, NeedsMessages, latencyAt(0.9)},
	{"p95", "p95", duration, false, NeedsMessages, latencyAt(0.95)},
	{"p99", "p99", duration, false, NeedsMessages, latencyAt(0.99)},
	{"p99.9", "p99.9", duration, false, NeedsMessages, latencyAt(0.999)},
	{"max", "max", duration, false, NeedsMessages, latencyAt(1)},
	{"lost", "lost", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Lost })},
	{"duplicated", "duplicated", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Duplicated })},
	{"reordered", "reordered", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Reordered })},
	{"foreign", "not of this run", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Foreign })},
	{"corrupted", "corrupted", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Corrupted })},
	{"truncated", "truncated", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Truncated })},
	{"invalid", "invalid", deliveries, false, NeedsMessages, ofDeliveries(func(m *Messages) uint64 { return m.Invalid })},
	{"errors", "errors", number, false, NeedsConnections, func(r *Report) (float64, bool) { return float64(r.Errors()), true }},
	{"reconnects", "reconnects", number, false, NeedsConnections, func(r *Report) (float64, bool) {
		if r.Connections.Reconnected == nil {
			return 0, true // none, or they were not to come back: then their ends are errors
		}
		return float64(r.Connections.Reconnected.Count), true
	}},
	{"", "deliveries per second", number, true, NeedsMessages, of(messages, func(m *Messages) (float64, bool) { return math.Round(m.DeliveredRate), true })},
	{"", "deliveries per server CPU second", number, true, NeedsServer, of(server, func(s *Server) (float64, bool) {
		v, ok := optional(s.DeliveriesPerCPUSecond)
		return math.Round(v), ok
	})},
	{"bytes_per_connection", "bytes per connection", bytes, false, NeedsServer, of(server, func(s *Server) (float64, bool) { return optional(s.BytesPerConnection) })},
	{"", "resident, at most", bytes, false, NeedsServer, of(server, func(s *Server) (float64, bool) { return float64(s.ResidentPeak), true })},
	{"", "recovery after the storm, p99", duration, false, NeedsStorm, of(storm, func(s *Storm) (float64, bool) { return quantile(s.Recovery, 0.99) })},
	{"", "lost in the storm", number, false, NeedsStorm, of(storm, func(s *Storm) (float64, bool) { return float64(s.Lost), true })},
	{"", "recovery after a restart, p99", duration, false, NeedsStorm, of(restart, func(s *Restart) (float64, bool) { return quantile(s.Recovery, 0.99) })},
	{"", "lost in the restarts", number, false, NeedsStorm, of(restart, func(s *Restart) (float64, bool) { return float64(s.Lost), true })},
	{"recovery_max", "", duration, false, NeedsStorm, func(r *Report) (float64, bool) {
		if r.Storm != nil {
			return quantile(r.Storm.Recovery, 1)
		}
		return of(restart, func(s *Restart) (float64, bool) { return quantile(s.Recovery, 1) })(r)
	}},
	{"disconnects", "", number, false, NeedsUpgrades, of(upgrades, func(u *Upgrades) (float64, bool) { return float64(u.Disconnects), true })},
	{"gaps", "", number, false, NeedsUpgrades, of(upgrades, func(u *Upgrades) (float64, bool) { return float64(u.Gaps), true })},
	{"refused", "", number, false, NeedsMessages, of(messages, func(m *Messages) (float64, bool) { return float64(m.Refused), true })},
	{"pause_max", "", duration, false, NeedsUpgrades, of(upgrades, func(u *Upgrades) (float64, bool) { return quantile(u.Deliveries, 1) })},
	{"publish_pause_max", "", duration, false, NeedsUpgrades, of(upgrades, func(u *Upgrades) (float64, bool) { return quantile(u.Publishers, 1) })},
	{"memory_slope", "", bytes, false, NeedsSoak, of(soak, func(s *Soak) (float64, bool) { return s.MemorySlope, true })},
	{"descriptors_slope", "", number, false, NeedsSoak, of(soak, func(s *Soak) (float64, bool) { return optional(s.DescriptorsSlope) })},
	{"", "carries, messages per second", number, true, NeedsMessages, of(func(r *Report) *Ramp { return r.Ramp }, func(s *Ramp) (float64, bool) { return math.Round(s.Carries), true })},
}

// Parts of a report; nil: not measured.
func messages(r *Report) *Messages { return r.Messages }
func server(r *Report) *Server     { return r.Server }
func storm(r *Report) *Storm       { return r.Storm }
func restart(r *Report) *Restart   { return r.Restart }
func upgrades(r *Report) *Upgrades { return r.Upgrades }
func soak(r *Report) *Soak         { return r.Soak }

// of reads a metric from a part of a report.
func of[T any](part func(*Report) *T, v func(*T) (float64, bool)) value {
	return func(r *Report) (float64, bool) {
		if p := part(r); p != nil {
			return v(p)
		}
		return 0, false
	}
}

func optional(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

func latencyAt(q float64) value {
	return func(r *Report) (float64, bool) { return quantile(r.Latency, q) }
}

// ofDeliveries is measured where some were expected.
func ofDeliveries(count func(*Messages) uint64) value {
	return of(messages, func(m *Messages) (float64, bool) { return float64(count(m)), m.Expected > 0 })
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

func find(name string) *metric {
	i := slices.IndexFunc(metrics, func(m metric) bool { return m.name == name && name != "" })
	if i < 0 {
		return nil
	}
	return &metrics[i]
}

// Metrics are the names that objectives can have.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		if m.name != "" {
			names = append(names, m.name)
		}
	}
	return names
}

var objectiveForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)(?:\{stage=([1-9]\d?)\})?\s*(<=|>=|<|>)\s*(\S+)\s*$`)

// ParseObjective reads "p99>50ms", "lost>0.1%", "p99{stage=2}>50ms": a metric, one of
// < > <= >=, and a limit with the metric's unit, or a share of the expected deliveries.
func ParseObjective(text string) (Objective, error) {
	parts := objectiveForm.FindStringSubmatch(text)
	if parts == nil {
		return Objective{}, fmt.Errorf("objective %q: must be like 'p99>50ms' or 'lost>0'", text)
	}
	m := find(parts[1])
	if m == nil {
		return Objective{}, fmt.Errorf("objective %q: %q is not measured; there are %s", text, parts[1], strings.Join(Metrics(), ", "))
	}
	stage, _ := strconv.Atoi(parts[2]) // "" is 0
	amount, share := strings.CutSuffix(parts[4], "%")
	limit, err := m.unit.parse(amount)
	switch {
	case err != nil:
		return Objective{}, fmt.Errorf("objective %q: %w", text, err)
	case share && m.unit != deliveries:
		return Objective{}, fmt.Errorf("objective %q: %s is not a share of the deliveries", text, m.name)
	case stage > 0 && !m.staged():
		return Objective{}, fmt.Errorf("objective %q: %s is not measured per stage", text, m.name)
	}
	return Objective{Text: strings.TrimSpace(text), Metric: m.name, Stage: stage, share: share, sign: parts[3], limit: limit}, nil
}

// staged reports whether each stage has its own value: a foreign message belongs to none.
func (m *metric) staged() bool {
	return m.needs == NeedsMessages && (m.unit == duration || m.unit == deliveries && m.name != "foreign")
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
		m, part := find(o.Metric), r.part(o.Stage)
		v, measured := m.value(part)
		if !measured {
			err = errors.Join(err, fmt.Errorf("objective %s: %w in this run", o.Text, ErrUnmeasured))
			continue
		}
		unit := m.unit
		if o.share {
			v, unit = 100*v/float64(part.Messages.Expected), percent
		}
		met := !o.holds(v)
		if !met {
			missed = append(missed, fmt.Sprintf("%s (it is %s)", o.Text, unit.format(v)))
		}
		r.Objectives = append(r.Objectives, Judged{o.Text, unit.json(v), met})
	}
	if r.Ended != "" && len(missed) == 0 { // it was missed then
		missed = []string{r.Ended}
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
	case u == percent:
		return strconv.FormatFloat(v, 'g', 3, 64) + " %"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
