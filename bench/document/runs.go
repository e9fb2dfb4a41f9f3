package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"peal/bench/record"
	"peal/loadtest/chaos"
	"peal/loadtest/report"
)

// group is all runs of one server and label, in the order of the first.
type group struct {
	server, label string
	reports       []*report.Report
}

// groups reads the reports of peal load.
func groups(r *record.Record) (all []*group, err error) {
	found := map[[2]string]*group{}
	for _, run := range r.Runs {
		if run.Program != record.Load {
			continue
		}
		one, err := report.Read(bytes.NewReader(run.Report))
		if err != nil {
			return nil, fmt.Errorf("%s, round %d: %w", run.Label, run.Round, err)
		}
		key := [2]string{run.Server, run.Label}
		if found[key] == nil {
			found[key] = &group{server: run.Server, label: run.Label}
			all = append(all, found[key])
		}
		found[key].reports = append(found[key].reports, one)
	}
	return all, nil
}

// figure is what a run came to; not a number where it was not measured, infinite
// where it is that of a lost message.
type figure func(*report.Report) float64

// of takes the figure from every run, those not measured left out.
func (g *group) of(f figure) (v []float64) {
	for _, r := range g.reports {
		if x := f(r); !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// sum adds the figure up.
func (g *group) sum(f figure) (s float64) {
	for _, x := range g.of(f) {
		s += x
	}
	return s
}

// valid says how many runs were, and why the first that was not was not.
func (g *group) valid() (n int, why string) {
	for _, r := range g.reports {
		if r.Validity.Valid {
			n++
		} else if why == "" {
			why = strings.Join(r.Validity.Reasons, "; ")
		}
	}
	return n, why
}

func pointed(p *float64, absent float64) float64 {
	if p == nil {
		return absent
	}
	return *p
}

func times(of func(*report.Report) *report.Times, at func(*report.Times) *float64) figure {
	return func(r *report.Report) float64 {
		if t := of(r); t != nil {
			return pointed(at(t), math.Inf(1)) // nil in a distribution: lost
		}
		return math.NaN()
	}
}

func latency(r *report.Report) *report.Times { return r.Latency }
func lag(r *report.Report) *report.Times     { return r.Lag }
func p50(t *report.Times) *float64           { return t.P50 }
func p99(t *report.Times) *float64           { return t.P99 }
func p999(t *report.Times) *float64          { return t.P999 }
func greatest(t *report.Times) *float64      { return t.Max }

func lost(r *report.Report) float64 {
	if r.Messages == nil {
		return math.NaN()
	}
	return float64(r.Messages.Lost)
}

func wrong(r *report.Report) float64 {
	if r.Messages == nil {
		return math.NaN()
	}
	return float64(r.Messages.Duplicated + r.Messages.Reordered + r.Messages.Foreign)
}

func deliveredRate(r *report.Report) float64 {
	if r.Messages == nil {
		return math.NaN()
	}
	return r.Messages.DeliveredRate
}

func perCPU(r *report.Report) float64 {
	if r.Server == nil {
		return math.NaN()
	}
	return pointed(r.Server.DeliveriesPerCPUSecond, math.NaN())
}

func bytesPerConnection(r *report.Report) float64 {
	if r.Server == nil {
		return math.NaN()
	}
	return pointed(r.Server.BytesPerConnection, math.NaN())
}

// serverCores is the mean while messages were sent.
func serverCores(r *report.Report) float64 {
	if r.Server == nil || r.Settings.Duration == 0 {
		return math.NaN()
	}
	return r.Server.CPU / r.Settings.Duration
}

func generatorShare(r *report.Report) float64 {
	return 100 * pointed(r.Generator.CPUShare, math.NaN())
}

func generatorCost(r *report.Report) float64 {
	return pointed(r.Generator.PerDelivery, math.NaN())
}

// generatorHeadroom is how many deliveries a second one processor that does
// nothing else can take and check.
func generatorHeadroom(r *report.Report) float64 { return 1e6 / generatorCost(r) }

func generatorBytes(r *report.Report) float64 {
	return pointed(r.Generator.PerConnection, math.NaN())
}

// column is one of a table of groups.
type column struct {
	name string
	unit string
	of   figure
}

// table writes a line for each group: its name, the columns, what was lost or
// otherwise wrong in all its runs, and how many of them were valid; below, why
// others were not.
func table(first string, name func(*group) string, all []*group, columns []column) string {
	heads := []string{first}
	for _, c := range columns {
		heads = append(heads, c.name)
	}
	heads = append(heads, "lost", "repeated, reordered", "valid runs")
	var lines [][]string
	notes := ""
	for _, g := range all {
		line := []string{name(g)}
		valid, why := g.valid()
		if why != "" {
			notes += fmt.Sprintf("\nNot valid, %s: %s.\n", name(g), why)
		}
		for _, c := range columns {
			line = append(line, spread(g.of(c.of), c.unit))
		}
		lines = append(lines, append(line, count(g.sum(lost)), count(g.sum(wrong)),
			fmt.Sprintf("%d of %d", valid, len(g.reports))))
	}
	return grid(heads, lines) + notes
}

// count writes a whole number as it is.
func count(v float64) string { return fmt.Sprintf("%.0f", v) }

func latencyLoad(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Load", func(g *group) string {
		s := g.reports[0].Settings
		return fmt.Sprintf("%s to %d = %s deliveries/s", g.label, s.Connections, plain(s.Rate*float64(s.Connections), ""))
	}, all, []column{
		{"delivered/s", "", deliveredRate},
		{"p50, ms", "", times(latency, p50)}, {"p99, ms", "", times(latency, p99)}, {"p99.9, ms", "", times(latency, p999)}, {"greatest, ms", "", times(latency, greatest)},
		{"server, cores", "", serverCores}, {"generator, % of its CPU", "", generatorShare},
	}), err
}

func generator(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", func(g *group) string { return g.label }, all, []column{
		{"CPU per delivery, µs", "", generatorCost}, {"a processor checks, deliveries/s", "", generatorHeadroom},
		{"of its CPU, %", "", generatorShare}, {"p99 of the lag, ms", "", times(lag, p99)}, {"p99, ms", "", times(latency, p99)},
	}), err
}

func hundredThousand(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", func(g *group) string { return g.label }, all, []column{
		{"connections", "", func(r *report.Report) float64 { return float64(r.Connections.Opened) }},
		{"opened in, s", "", func(r *report.Report) float64 { return r.Connections.Took }},
		{"deliveries", "", func(r *report.Report) float64 { return float64(r.Messages.Delivered) }},
		{"p99, ms", "", times(latency, p99)},
		{"bytes a connection, servers", "", bytesPerConnection}, {"load test", "", generatorBytes},
	}), err
}

// correctness has a line for each run.
func correctness(r *record.Record) (string, error) {
	var lines [][]string
	for _, run := range r.Runs {
		var line []string
		var err error
		if run.Program == record.Chaos {
			line, err = chaosLine(run.Report)
		} else {
			line, err = stormLine(run.Report)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", run.Label, err)
		}
		lines = append(lines, append([]string{run.Label}, line...))
	}
	return grid([]string{"", "clients", "deliveries checked", "lost", "repeated", "reordered", "what happened"}, lines), nil
}

func stormLine(b []byte) ([]string, error) {
	r, err := report.Read(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	m := r.Messages
	if m == nil {
		return nil, fmt.Errorf("no messages in the report")
	}
	line := []string{fmt.Sprint(r.Connections.Opened), fmt.Sprint(m.Expected), fmt.Sprint(m.Lost), fmt.Sprint(m.Duplicated), fmt.Sprint(m.Reordered)}
	if r.Storm == nil {
		return append(line, fmt.Sprintf("%s messages/s; %d refused, %d connections closed", plain(m.SentRate, ""), m.Refused, r.Connections.Closed)), nil
	}
	s := r.Storm
	recovery := times(func(*report.Report) *report.Times { return s.Recovery }, p99)(r)
	return append(line, fmt.Sprintf("all dropped for %.3g s; %d back after %.2f s, %d never; p99 of the recovery %s", s.Away, s.Back, s.BackTook, s.Unrecovered,
		spread([]float64{recovery}, "ms"))), nil
}

func readSummary(b []byte) (s chaos.Summary, err error) {
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	if s.Schema != chaos.SummarySchema {
		return s, fmt.Errorf("%w %d of the chaos", record.ErrSchema, s.Schema)
	}
	return s, nil
}

func chaosLine(b []byte) ([]string, error) {
	s, err := readSummary(b)
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprint(s.Clients), fmt.Sprint(s.Checked), fmt.Sprint(s.Lost), fmt.Sprint(s.Repeated), fmt.Sprint(s.Reordered),
		fmt.Sprintf("%d SIGKILL, %d SIGTERM, %d connections, %d changes of transport; %d gaps told, %d of them false; %d clients behind at the end",
			s.Kills, s.Terms, s.Opened, s.Changes, s.Gaps, s.GapsFalse, s.Behind)}, nil
}
