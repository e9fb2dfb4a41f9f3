package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"peal/bench"
	"peal/loadtest/report"
	"peal/loadtest/scenario"
)

// Scenario is a benchmark of any server that peal load supports: --scenario. It runs
// the load test "fanout", and has its own limits instead of those of gate.yaml.
// Absent fields have the defaults of peal load.
type Scenario struct {
	Name        string        `yaml:"name"`        // of the benchmark, one word
	Target      string        `yaml:"target"`      // as peal load's; {addr} is replaced by host:port
	Publish     string        `yaml:"publish"`     // the same; empty: derived from the target
	Header      []string      `yaml:"header"`      // "Name: value", of every request
	Loops       int           `yaml:"loops"`       // {loops} of the command; default 1
	Wait        time.Duration `yaml:"wait"`        // until the server accepts connections; default 10 s
	Connections int           `yaml:"connections"` // subscribers
	Channels    int           `yaml:"channels"`
	Rate        float64       `yaml:"rate"`      // messages per second, over all channels
	InFlight    int           `yaml:"in-flight"` // instead of a rate: messages in flight at a time, on one channel
	Size        int           `yaml:"size"`      // bytes
	Duration    time.Duration `yaml:"duration"`
	Settle      time.Duration `yaml:"settle"` // how long to wait for the last messages
	Idle        time.Duration `yaml:"idle"`   // how long the server rests before its memory is read

	// Beyond these limits of the generator a run is unstable: as peal load's flags of
	// these names. With in-flight, where both sides use all CPU time of the machine,
	// the CPU has no default limit.
	MaxLag  float64 `yaml:"max-lag"`
	MaxCPU  float64 `yaml:"max-cpu"`
	MinSent float64 `yaml:"min-sent"`

	Config `yaml:",inline"` // pairs, samples, p, metrics
}

type scenarioUnit struct {
	unit string
	of   func(*report.Report) *float64
}

// scenarioUnits are the figures of a scenario, with their values in the report of the
// load test; nil: not measured.
var scenarioUnits = []scenarioUnit{
	{"cpu-ns/delivery", onServer(func(r *report.Report) *float64 { return finite(1e9 * r.Server.CPU / float64(r.Messages.Delivered)) })},
	{"cpu-ns/connection", onServer(func(r *report.Report) *float64 { return finite(1e9 * r.Server.OpenCPU / float64(r.Connections.Opened)) })},
	{"B/connection", onServer(func(r *report.Report) *float64 { return r.Server.BytesPerConnection })},
	{"p50-ns", latency(func(t *report.Times) *float64 { return t.P50 })},
	{"p99-ns", latency(func(t *report.Times) *float64 { return t.P99 })},
	{"p99.9-ns", latency(func(t *report.Times) *float64 { return t.P999 })},
}

// onServer is a figure of the server; nil if the server was not measured.
func onServer(of func(*report.Report) *float64) func(*report.Report) *float64 {
	return func(r *report.Report) *float64 {
		if r.Server == nil {
			return nil
		}
		return of(r)
	}
}

func latency(of func(*report.Times) *float64) func(*report.Report) *float64 {
	return func(r *report.Report) *float64 {
		if r.Latency == nil || of(r.Latency) == nil {
			return nil
		}
		return finite(1e6 * *of(r.Latency))
	}
}

// ParseScenario reads the file of a scenario. An error names all faults.
func ParseScenario(b []byte) (*Scenario, error) {
	d := scenario.Defaults()
	s := &Scenario{Loops: 1, Wait: 10 * time.Second, Connections: d.Connections, Channels: d.Channels, Rate: d.Rate, Size: d.Size,
		Duration: 3 * time.Second, Settle: d.Settle, Idle: d.Idle,
		MaxLag: d.Limits.Lag, MaxCPU: d.Limits.CPU, MinSent: d.Limits.Sent, Config: defaults()}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	decoder.KnownFields(true)
	if err := decoder.Decode(s); err != nil {
		return nil, err
	}
	if s.InFlight > 0 && s.MaxCPU == d.Limits.CPU {
		s.MaxCPU = math.MaxFloat64
	}
	var faults []error
	if s.Name == "" || strings.ContainsAny(s.Name, " \t\n") {
		faults = append(faults, fmt.Errorf("name %q: must be one word", s.Name))
	}
	if !strings.Contains(s.Target, "{addr}") {
		faults = append(faults, fmt.Errorf("target %q: must contain {addr}, like ws://{addr}/ws?channel=bench", s.Target))
	}
	if s.Publish != "" && !strings.Contains(s.Publish, "{addr}") {
		faults = append(faults, fmt.Errorf("publish %q: must contain {addr}, like http://{addr}/publish?channel={channel}", s.Publish))
	}
	if s.Loops < 1 || s.Wait <= 0 {
		faults = append(faults, errors.New("loops and wait: must be above 0"))
	}
	for _, m := range s.Metrics {
		if !slices.ContainsFunc(scenarioUnits, func(u scenarioUnit) bool { return u.unit == m.Unit }) {
			faults = append(faults, fmt.Errorf("metric %q: a scenario does not measure it", m.Unit))
		}
	}
	return s, errors.Join(append(faults, s.complete())...)
}

// Macro returns the scenario as a benchmark.
func (s *Scenario) Macro() bench.Macro {
	return bench.Macro{Name: s.Name, Run: func(ctx context.Context, l *bench.Command) ([]bench.Measure, error) {
		return bench.OnServer(ctx, l, s.Loops, func(server *bench.Server) ([]bench.Measure, error) {
			r, err := scenario.Run(ctx, "fanout", s.settings(server))
			if err != nil {
				return nil, err
			}
			return figuresOf(ctx, r)
		})
	}}
}

func (s *Scenario) settings(server *bench.Server) scenario.Settings {
	fill := strings.NewReplacer("{addr}", server.Addr, "{admin}", server.Admin)
	d := scenario.Defaults()
	d.Targets, d.Header, d.PID = []string{fill.Replace(s.Target)}, s.Header, []int{server.PID}
	if s.Publish != "" {
		d.Publish = []string{fill.Replace(s.Publish)}
	}
	d.Connections, d.Channels, d.Rate, d.InFlight, d.Size = s.Connections, s.Channels, s.Rate, s.InFlight, s.Size
	d.Duration, d.Settle, d.Idle = s.Duration, s.Settle, s.Idle
	d.Limits = report.Limits{Lag: s.MaxLag, CPU: s.MaxCPU, Sent: s.MinSent}
	return d
}

// figuresOf returns the figures of a report. It fails if a message was lost or the
// generator was too slow.
func figuresOf(ctx context.Context, r *report.Report) (all []bench.Measure, err error) {
	m := r.Messages
	switch {
	case r.Interrupted:
		return nil, context.Cause(ctx)
	case r.Errors() > 0 || m == nil || m.Lost+m.Duplicated+m.Reordered+m.Foreign > 0:
		return nil, losses(r)
	case !r.Validity.Valid:
		return nil, fmt.Errorf("%w: %s", errInvalid, strings.Join(r.Validity.Reasons, "; "))
	}
	for _, u := range scenarioUnits {
		if v := u.of(r); v != nil {
			all = append(all, bench.Measure{Unit: u.unit, Value: *v})
		}
	}
	return all, nil
}

func losses(r *report.Report) error {
	c, m := &r.Connections, r.Messages
	if m == nil {
		m = &report.Messages{}
	}
	return fmt.Errorf("%d connections failed (%s), %d were closed; of %d expected messages %d lost, %d duplicated, %d reordered, %d foreign; %d refused (%s)",
		c.Failed, c.FirstError, c.Closed, m.Expected, m.Lost, m.Duplicated, m.Reordered, m.Foreign, m.Refused, m.FirstRefusal)
}
