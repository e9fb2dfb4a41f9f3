package document

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"peal/bench/record"
	"peal/loadtest/chaos"
	"peal/loadtest/report"
)

// load is a report of peal load, as it was written: records keep those of every schema
// up to today's.
type load map[string]any

// readLoad reads a report. The error is ErrSchema for one of a later version.
func readLoad(b []byte) (l load, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("report of peal load: %w", err)
	}
	if schema := number("schema")(l); !(schema >= 1 && schema <= report.Schema) {
		return nil, fmt.Errorf("%w %v of a report of peal load", record.ErrSchema, schema)
	}
	return l, nil
}

// at returns what is at a path of names with dots between them; nil: nothing.
func (l load) at(path string) (v any) {
	v = map[string]any(l)
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// figure is a value of a run: NaN if it was not measured, infinite if it is the
// latency of a lost message.
type figure func(load) float64

// number is the figure at a path. A quantile that is null is that of a lost message.
func number(path string) figure {
	return func(l load) float64 {
		v, ok := l.at(path).(float64)
		parent := path[:max(0, strings.LastIndexByte(path, '.'))]
		switch {
		case ok:
			return v
		case strings.HasSuffix(path, "_ms") && l.at(parent) != nil:
			return math.Inf(1)
		}
		return math.NaN()
	}
}

// group is all runs of one server and label.
type group struct {
	server, label string
	reports       []load
}

// groups reads the reports of peal load.
func groups(r *record.Record) (all []*group, err error) {
	found := map[[2]string]*group{}
	for _, run := range r.Runs {
		if run.Program != record.Load {
			continue
		}
		one, err := readLoad(run.Report)
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

// of returns the figure of every run that has it.
func (g *group) of(f figure) (v []float64) {
	for _, r := range g.reports {
		if x := f(r); !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// sum adds up figures of all runs.
func (g *group) sum(figures ...figure) (s float64) {
	for _, f := range figures {
		for _, x := range g.of(f) {
			s += x
		}
	}
	return s
}

// valid counts the valid runs, and explains the first one that is not.
func (g *group) valid() (n int, why string) {
	for _, r := range g.reports {
		if r.at("validity.valid") == true {
			n++
		} else if why == "" {
			reasons, _ := r.at("validity.reasons").([]any)
			for i, reason := range reasons {
				why += fmt.Sprintf("%.*s%v", 2*min(i, 1), "; ", reason)
			}
		}
	}
	return n, why
}

var (
	lost               = number("messages.lost")
	wrong              = []figure{number("messages.duplicated"), number("messages.reordered"), number("messages.foreign")}
	p50                = number("latency.p50_ms")
	p99                = number("latency.p99_ms")
	perCPU             = number("server.deliveries_per_cpu_s")
	bytesPerConnection = number("server.bytes_per_connection")
)

// serverCores is the mean number of cores that the server used.
func serverCores(l load) float64 { return number("server.cpu_s")(l) / number("settings.duration_s")(l) }

func generatorShare(l load) float64 { return 100 * number("generator.cpu_share")(l) }

// generatorHeadroom is how many deliveries per second one processor can receive and
// check if it does nothing else.
func generatorHeadroom(l load) float64 { return 1e6 / number("generator.cpu_us_per_delivery")(l) }

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
		lines = append(lines, append(line, fmt.Sprintf("%.0f", g.sum(lost)), fmt.Sprintf("%.0f", g.sum(wrong...)),
			fmt.Sprintf("%d of %d", valid, len(g.reports))))
	}
	return grid(heads, lines) + notes
}

func latencyLoad(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Load", func(g *group) string {
		connections := number("settings.connections")(g.reports[0])
		return fmt.Sprintf("%s to %.0f = %s deliveries/s", g.label, connections, plain(number("settings.rate_per_s")(g.reports[0])*connections, ""))
	}, all, []column{
		{"delivered/s", number("messages.delivered_per_s")}, {"p50, ms", p50}, {"p99, ms", p99},
		{"p99.9, ms", number("latency.p99_9_ms")}, {"max, ms", number("latency.max_ms")},
		{"server, cores", serverCores}, {"generator, CPU used, % of its share", generatorShare},
	}), err
}

func label(g *group) string { return g.label }

func generator(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", label, all, []column{
		{"CPU per delivery, µs", number("generator.cpu_us_per_delivery")}, {"deliveries/s that one processor can check", generatorHeadroom},
		{"CPU used, % of its share", generatorShare}, {"p99 lag, ms", number("lag.p99_ms")}, {"p99, ms", p99},
	}), err
}

func hundredThousand(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("Subscribers", label, all, []column{
		{"connections", number("connections.opened")}, {"time to open, s", number("connections.took_s")},
		{"deliveries", number("messages.delivered")}, {"p99, ms", p99},
		{"bytes per connection, servers", bytesPerConnection}, {"load test", number("generator.bytes_per_connection")},
	}), err
}

func cluster(r *record.Record) (string, error) {
	all, err := groups(r)
	return table("", label, all, []column{
		{"connections", number("connections.opened")}, {"time to open, s", number("connections.took_s")},
		{"deliveries", number("messages.delivered")}, {"p50, ms", p50}, {"p99, ms", p99}, {"until the last has it, ms", number("latency.max_ms")},
		{"bytes per connection, nodes", bytesPerConnection},
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
			line = append(line, fmt.Sprintf("%.0f", n))
		}
		lines = append(lines, append(line, happened))
	}
	return grid([]string{"", "clients", "deliveries checked", "lost", "duplicated", "reordered", "what happened"}, lines), nil
}

func stormLine(b []byte) (counts []float64, happened string, err error) {
	l, err := readLoad(b)
	if err != nil {
		return nil, "", err
	}
	if l.at("messages") == nil {
		return nil, "", fmt.Errorf("the report has no messages")
	}
	for _, path := range []string{"connections.opened", "messages.expected", "messages.lost", "messages.duplicated", "messages.reordered"} {
		counts = append(counts, number(path)(l))
	}
	if l.at("storm") == nil {
		return counts, fmt.Sprintf("%s messages/s; %v refused, %v connections closed", plain(number("messages.sent_per_s")(l), ""), l.at("messages.refused"), l.at("connections.closed")), nil
	}
	return counts, fmt.Sprintf("all connections dropped for %.3g s; %v reconnected within %.2f s, %v never; p99 of the recovery %s", l.at("storm.away_s"), l.at("storm.back"),
		l.at("storm.back_took_s"), l.at("storm.unrecovered"), spread([]float64{number("storm.recovery.p99_ms")(l)}, "ms")), nil
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

func chaosLine(b []byte) (counts []float64, happened string, err error) {
	s, err := readSummary(b)
	return []float64{float64(s.Clients), float64(s.Checked), float64(s.Lost), float64(s.Repeated), float64(s.Reordered)},
		fmt.Sprintf("%d SIGKILL, %d SIGTERM, %d connections, %d changes of transport; %d gaps reported, %d of them false; %d clients behind at the end",
			s.Kills, s.Terms, s.Connections, s.Changes, s.Gaps, s.GapsFalse, s.Behind), err
}
