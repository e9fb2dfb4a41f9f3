package gate

import (
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

// Scenario is a benchmark of any server that peal load supports: --scenario. Its file is
// one of peal load, with further keys: these fields. It has its own limits instead of those
// of gate.yaml.
type Scenario struct {
	Name   string           `yaml:"name"`  // of the benchmark, one word
	Loops  int              `yaml:"loops"` // {loops} of the command; default 1
	Wait   time.Duration    `yaml:"wait"`  // until the server accepts connections; default 10 s
	Config `yaml:",inline"` // pairs, samples, p, metrics

	load     string // peal load's name of the scenario
	settings scenario.Settings
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
//
// With in-flight, where both sides use all CPU time of the machine, max-cpu has no
// default.
func ParseScenario(file string, b []byte) (*Scenario, error) {
	s := &Scenario{Loops: 1, Wait: 10 * time.Second, Config: defaults(), settings: scenario.Defaults()}
	s.settings.Targets, s.settings.Duration = nil, 3*time.Second
	flags := scenario.Flags(&s.settings, "")
	var err error
	if s.load, err = scenario.Read(flags, file, b); err == nil {
		err = yaml.Unmarshal(b, s)
	}
	if err != nil {
		return nil, err
	}
	if s.settings.InFlight > 0 && !flags.Changed("max-cpu") {
		s.settings.Limits.CPU = math.MaxFloat64
	}
	var faults []error
	if s.Name == "" || strings.ContainsAny(s.Name, " \t\n") {
		faults = append(faults, fmt.Errorf("name %q: must be one word", s.Name))
	}
	for _, key := range []string{"start", "pid", "admin"} {
		if flags.Changed(key) {
			faults = append(faults, fmt.Errorf("%s: not in a scenario of the gate, which starts the server with --base-cmd and --head-cmd", key))
		}
	}
	if len(s.settings.Targets) != 1 || !strings.Contains(s.settings.Targets[0], "{addr}") {
		faults = append(faults, fmt.Errorf("target %q: must be one that contains {addr}, like ws://{addr}/ws?channel=bench", s.settings.Targets))
	}
	if p := strings.Join(s.settings.Publish, " "); p != "" && !strings.Contains(p, "{addr}") {
		faults = append(faults, fmt.Errorf("publish %q: must contain {addr}, like http://{addr}/publish?channel={channel}", p))
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
			fill := strings.NewReplacer("{addr}", server.Addr, "{admin}", server.Admin)
			d := s.settings
			d.Targets, d.PID = []string{fill.Replace(d.Targets[0])}, []int{server.PID}
			d.Publish = slices.Clone(d.Publish)
			for i := range d.Publish {
				d.Publish[i] = fill.Replace(d.Publish[i])
			}
			r, err := scenario.Run(ctx, s.load, d)
			if err != nil {
				return nil, err
			}
			return figuresOf(ctx, r)
		})
	}}
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
