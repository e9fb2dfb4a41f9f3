package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Compare writes a table of both, b against a. It is one run each: whether a
// difference is more than noise only repetition says.
func Compare(w io.Writer, a, b *Report) error {
	p := &printer{w: w}
	p.compare(a, b)
	return p.err
}

func (p *printer) compare(a, b *Report) {
	for i, r := range []*Report{a, b} {
		p.printf("%s: %s %s\n", letter(i), r.Scenario, r.Settings.servers())
	}
	p.printf("\n%-34s %14s %14s %9s\n", "", "a", "b", "change")
	for _, m := range metrics {
		x, okA := m.value(a)
		y, okB := m.value(b)
		if m.title == "" || !okA && !okB {
			continue
		}
		both := okA && okB
		p.printf("%-34s %14s %14s %9s%s\n", m.title, shown(m.unit, x, okA), shown(m.unit, y, okB), change(x, y, both), better(x, y, both, m.more))
	}
	for i, r := range []*Report{a, b} {
		if !r.Validity.Valid {
			p.printf("%s is not valid: %s\n", letter(i), strings.Join(r.Validity.Reasons, "; "))
		}
		if r.Storm != nil && r.Storm.Cursorless {
			p.printf("%s has clients without cursors: in the storm they lose what is published while they are away\n", letter(i))
		}
	}
	for _, difference := range differences(a, b) {
		p.printf("the runs differ: %s\n", difference)
	}
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

func better(x, y float64, both, more bool) string {
	switch {
	case !both || x == y || math.Abs(y-x) <= noise*math.Abs(x):
		return ""
	case (y > x) == more:
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
