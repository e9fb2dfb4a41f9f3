package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// compared are the lines of a comparison. lower says that less is better.
var compared = []struct {
	name  string
	unit  unit
	lower bool
	value func(r *Report) (float64, bool)
}{
	{"connections opened", number, false, func(r *Report) (float64, bool) { return float64(r.Connections.Opened), true }},
	{"connect p99", duration, true, find("connect_p99").value},
	{"p50", duration, true, latencyAt(0.5)},
	{"p90", duration, true, latencyAt(0.9)},
	{"p99", duration, true, latencyAt(0.99)},
	{"p99.9", duration, true, latencyAt(0.999)},
	{"max", duration, true, latencyAt(1)},
	{"lost", number, true, find("lost").value},
	{"duplicated", number, true, find("duplicated").value},
	{"reordered", number, true, find("reordered").value},
	{"errors", number, true, find("errors").value},
	{"deliveries per second", number, false, func(r *Report) (float64, bool) {
		if r.Messages == nil {
			return 0, false
		}
		return math.Round(r.Messages.DeliveredRate), true
	}},
	{"deliveries per server CPU second", number, false, func(r *Report) (float64, bool) {
		if r.Server == nil || r.Server.DeliveriesPerCPUSecond == nil {
			return 0, false
		}
		return math.Round(*r.Server.DeliveriesPerCPUSecond), true
	}},
	{"bytes per connection", bytes, true, find("bytes_per_connection").value},
	{"resident, at most", bytes, true, func(r *Report) (float64, bool) {
		if r.Server == nil {
			return 0, false
		}
		return float64(r.Server.ResidentPeak), true
	}},
	{"recovery after the storm, p99", duration, true, func(r *Report) (float64, bool) {
		if r.Storm == nil {
			return 0, false
		}
		return quantile(r.Storm.Recovery, 0.99)
	}},
	{"lost in the storm", number, true, func(r *Report) (float64, bool) {
		if r.Storm == nil || r.Messages == nil {
			return 0, false
		}
		return float64(r.Storm.Lost), true
	}},
	{"recovery after a restart, p99", duration, true, func(r *Report) (float64, bool) {
		if r.Restart == nil {
			return 0, false
		}
		return quantile(r.Restart.Recovery, 0.99)
	}},
	{"lost in the restarts", number, true, func(r *Report) (float64, bool) {
		if r.Restart == nil {
			return 0, false
		}
		return float64(r.Restart.Lost), true
	}},
	{"carries, messages per second", number, false, func(r *Report) (float64, bool) {
		if r.Ramp == nil {
			return 0, false
		}
		return math.Round(r.Ramp.Carries), true
	}},
}

// Compare writes a table of both, b against a. It is one run each: whether a
// difference is more than noise only repetition says.
func Compare(w io.Writer, a, b *Report) error {
	p := &printer{w: w}
	for i, r := range []*Report{a, b} {
		p.printf("%c: %s %s\n", 'a'+i, r.Scenario, r.Settings.servers())
	}
	p.printf("\n%-34s %14s %14s %9s\n", "", "a", "b", "change")
	for _, c := range compared {
		x, okA := c.value(a)
		y, okB := c.value(b)
		if !okA && !okB {
			continue
		}
		p.printf("%-34s %14s %14s %9s%s\n", c.name, shown(c.unit, x, okA), shown(c.unit, y, okB), change(x, y, okA && okB), better(x, y, okA && okB, c.lower))
	}
	for i, r := range []*Report{a, b} {
		if !r.Validity.Valid {
			p.printf("%c is not valid: %s\n", 'a'+i, strings.Join(r.Validity.Reasons, "; "))
		}
	}
	for i, r := range []*Report{a, b} {
		if r.Storm != nil && r.Storm.Cursorless {
			p.printf("%c has clients without cursors: in the storm they miss what is published while they are away\n", 'a'+i)
		}
	}
	for _, difference := range differences(a, b) {
		p.printf("not alike: %s\n", difference)
	}
	return p.err
}

func shown(u unit, v float64, measured bool) string {
	if !measured {
		return "–"
	}
	return u.format(v)
}

func change(x, y float64, both bool) string {
	switch {
	case !both, x == y, math.IsInf(x, 0), math.IsInf(y, 0):
		return ""
	case x == 0:
		return "new"
	}
	return fmt.Sprintf("%+.1f %%", 100*(y/x-1))
}

// noise is what two runs on one machine often differ by for no reason.
const noise = 0.05

func better(x, y float64, both, lower bool) string {
	switch {
	case !both || x == y || math.Abs(y-x) <= noise*math.Abs(x):
		return ""
	case (y < x) == lower:
		return "  better"
	}
	return "  worse"
}

// differences are settings that two comparable runs would share.
func differences(a, b *Report) []string {
	var all []string
	add := func(name string, x, y any) {
		if x != y {
			all = append(all, fmt.Sprintf("%s %v and %v", name, x, y))
		}
	}
	add("scenario", a.Scenario, b.Scenario)
	add("connections", a.Settings.Connections, b.Settings.Connections)
	add("channels", a.Settings.Channels, b.Settings.Channels)
	add("rate", a.Settings.Rate, b.Settings.Rate)
	add("size", a.Settings.Size, b.Settings.Size)
	add("duration", a.Settings.Duration, b.Settings.Duration)
	add("processors", a.Environment.CPUs, b.Environment.CPUs)
	add("kernel", a.Environment.Kernel, b.Environment.Kernel)
	return all
}
