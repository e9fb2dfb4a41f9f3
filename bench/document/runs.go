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

// group is all runs of one server and label.
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

// figure is a value of a run: NaN if it was not measured, infinite if it is the
// latency of a lost message.
type figure func(*report.Report) float64

// of returns the figure of every run that has it.
func (g *group) of(f figure) (v []float64) {
	for _, r := range g.reports {
		if x := f(r); !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// sum adds up the figure of all runs.
func (g *group) sum(f figure) (s float64) {
	for _, x := range g.of(f) {
		s += x
	}
	return s
}

// valid counts the valid runs, and explains the first one that is not.
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

// pointed returns *p, or absent if p is nil.
func pointed(p *float64, absent float64) float64 {
	if p == nil {
		return absent
	}
	return *p
}

// in is a figure from a part of the report, which may be missing.
func in[T any](part func(*report.Report) *T, value func(*T) float64) figure {
	return func(r *report.Report) float64 {
		if p := part(r); p != nil {
			return value(p)
		}
		return math.NaN()
	}
}

func latency(r *report.Report) *report.Times     { return r.Latency }
func lag(r *report.Report) *report.Times         { return r.Lag }
func messages(r *report.Report) *report.Messages { return r.Messages }
func server(r *report.Report) *report.Server     { return r.Server }

// at is a quantile; infinite for a lost message.
func at(of func(*report.Report) *report.Times, quantile func(*report.Times) *float64) figure {
	return in(of, func(t *report.Times) float64 { return pointed(quantile(t), math.Inf(1)) })
}

func p50(t *report.Times) *float64 { return t.P50 }
func p99(t *report.Times) *float64 { return t.P99 }

var (
	lost               = in(messages, func(m *report.Messages) float64 { return float64(m.Lost) })
	wrong              = in(messages, func(m *report.Messages) float64 { return float64(m.Duplicated + m.Reordered + m.Foreign) })
	deliveredRate      = in(messages, func(m *report.Messages) float64 { return m.DeliveredRate })
	perCPU             = in(server, func(s *report.Server) float64 { return pointed(s.DeliveriesPerCPUSecond, math.NaN()) })
	bytesPerConnection = in(server, func(s *report.Server) float64 { return pointed(s.BytesPerConnection, math.NaN()) })
)

// serverCores is the mean number of cores that the server used.
func serverCores(r *report.Report) float64 {
	if r.Server == nil || r.Settings.Duration == 0 {
		return math.NaN()
	}
	return r.Server.CPU / r.Settings.Duration
}

func generatorShare(r *report.Report) float64 {
	return 100 * pointed(r.Generator.CPUShare, math.NaN())
}

func generatorCost(r *report.Report) float64 { return pointed(r.Generator.PerDelivery, math.NaN()) }

// generatorHeadroom is how many deliveries per second one processor can receive and
// check if it does nothing else.
func generatorHeadroom(r *report.Report) float64 { return 1e6 / generatorCost(r) }

func generatorBytes(r *report.Report) float64 {
	return pointed(r.Generator.PerConnection, math.NaN())
}

// column is a column of a table of groups.
type column struct {
	name string
	of   figure
}

// table writes a line for each group: its name, the columns, the number of lost and
// other wrong messages in all its runs, and how many runs were valid. Below it
// explains why others were not.
func table(first string, name func(*group) string, all []*group, columns []column) string {
	heads := []string{first}
	for _, c := range columns {
		heads = append(heads, c.name)
	}
	heads = append(heads, "lost", "duplicated, reordered", "valid runs")
	var lines [][]string
	notes := ""
	for _, g := range all {
		line := []string{name(g)}
		valid, why := g.valid()
		if why != "" {
			notes += fmt.Sprintf("\nNot valid, %s: %s.\n", name(g), why)
		}
		for _, c := range columns {
			line = append(line, spread(g.of(c.of), ""))
		}
		lines = append(lines, append(line, fmt.Sprintf("%.0f", g.sum(lost)), fmt.Sprintf("%.0f", g.sum(wrong)),
			fmt.Sprintf("%d of %d", valid, len(g.reports))))
	}
	return grid(heads, lines) + notes
}

func latencyLoad(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Load", func(g *group) string {
		s := g.reports[0].Settings
		return fmt.Sprintf("%s to %d = %s deliveries/s", g.label, s.Connections, plain(s.Rate*float64(s.Connections), ""))
	}, all, []column{
		{"delivered/s", deliveredRate},
		{"p50, ms", at(latency, p50)}, {"p99, ms", at(latency, p99)},
		{"p99.9, ms", at(latency, func(t *report.Times) *float64 { return t.P999 })}, {"max, ms", at(latency, func(t *report.Times) *float64 { return t.Max })},
		{"server, cores", serverCores}, {"generator, CPU used, % of its share", generatorShare},
	}), err
}

func generator(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", func(g *group) string { return g.label }, all, []column{
		{"CPU per delivery, µs", generatorCost}, {"deliveries/s that one processor can check", generatorHeadroom},
		{"CPU used, % of its share", generatorShare}, {"p99 lag, ms", at(lag, p99)}, {"p99, ms", at(latency, p99)},
	}), err
}

func hundredThousand(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", func(g *group) string { return g.label }, all, []column{
		{"connections", func(r *report.Report) float64 { return float64(r.Connections.Opened) }},
		{"time to open, s", func(r *report.Report) float64 { return r.Connections.Took }},
		{"deliveries", func(r *report.Report) float64 { return float64(r.Messages.Delivered) }},
		{"p99, ms", at(latency, p99)},
		{"bytes per connection, servers", bytesPerConnection}, {"load test", generatorBytes},
	}), err
}

// correctness has a line for each run.
func correctness(r *record.Record) (string, error) {
	var lines [][]string
	for _, run := range r.Runs {
		read := stormLine
		if run.Program == record.Chaos {
			read = chaosLine
		}
		counts, happened, err := read(run.Report)
		if err != nil {
			return "", fmt.Errorf("%s: %w", run.Label, err)
		}
		line := []string{run.Label}
		for _, n := range counts {
			line = append(line, fmt.Sprint(n))
		}
		lines = append(lines, append(line, happened))
	}
	return grid([]string{"", "clients", "deliveries checked", "lost", "duplicated", "reordered", "what happened"}, lines), nil
}

func stormLine(b []byte) (counts []any, happened string, err error) {
	r, err := report.Read(bytes.NewReader(b))
	if err != nil {
		return nil, "", err
	}
	m, s := r.Messages, r.Storm
	if m == nil {
		return nil, "", fmt.Errorf("the report has no messages")
	}
	counts = []any{r.Connections.Opened, m.Expected, m.Lost, m.Duplicated, m.Reordered}
	if s == nil {
		return counts, fmt.Sprintf("%s messages/s; %d refused, %d connections closed", plain(m.SentRate, ""), m.Refused, r.Connections.Closed), nil
	}
	recovery := at(func(*report.Report) *report.Times { return s.Recovery }, p99)(r)
	return counts, fmt.Sprintf("all connections dropped for %.3g s; %d reconnected within %.2f s, %d never; p99 of the recovery %s", s.Away, s.Back, s.BackTook, s.Unrecovered,
		spread([]float64{recovery}, "ms")), nil
}

func readSummary(b []byte) (s chaos.Summary, err error) {
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	if s.Schema != chaos.SummarySchema {
		return s, fmt.Errorf("%w %d of a chaos summary", record.ErrSchema, s.Schema)
	}
	return s, nil
}

func chaosLine(b []byte) (counts []any, happened string, err error) {
	s, err := readSummary(b)
	return []any{s.Clients, s.Checked, s.Lost, s.Repeated, s.Reordered},
		fmt.Sprintf("%d SIGKILL, %d SIGTERM, %d connections, %d changes of transport; %d gaps reported, %d of them false; %d clients behind at the end",
			s.Kills, s.Terms, s.Connections, s.Changes, s.Gaps, s.GapsFalse, s.Behind), err
}
