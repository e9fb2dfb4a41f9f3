package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"peal/loadtest"
)

// Side makes one report of several runs of the same load: their sums, and as Turns the
// runs. The error says in what they differ.
func Side(runs []*Report) (*Report, error) {
	if len(runs) == 1 {
		return runs[0], nil
	}
	whole, err := runs[0].clone()
	if err != nil {
		return nil, err
	}
	whole.Turns = runs
	for i, r := range runs {
		if d := differences(runs[0], r); len(d) > 0 {
			return nil, fmt.Errorf("runs of one side differ: %s", strings.Join(d, ", "))
		}
		if i == 0 {
			continue
		}
		if err := whole.Join(r); err != nil {
			return nil, err
		}
		whole.Validity.Valid = whole.Validity.Valid && r.Validity.Valid
		whole.Validity.Reasons = append(whole.Validity.Reasons, r.Validity.Reasons...)
	}
	return whole, nil
}

// clone is a copy that shares nothing.
func (r *Report) clone() (*Report, error) {
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		return nil, err
	}
	return Read(strings.NewReader(b.String()))
}

// Compare writes a table of both, b against a: of each metric the medians of their
// runs, and where there are enough of those, whether b is better or worse beyond noise.
func Compare(w io.Writer, a, b *Report) error {
	p := &printer{w: w}
	p.compare(a, b)
	return p.err
}

func (p *printer) compare(a, b *Report) {
	for i, r := range []*Report{a, b} {
		p.printf("%s: %s %s, %d runs\n", letter(i), r.Scenario, r.Settings.servers(), max(len(r.Turns), 1))
	}
	p.printf("\n%-34s %14s %14s %9s  %.0f %% interval\n", "", "a", "b", "change", 100*(1-noise))
	for stage := range max(len(a.Stages), len(b.Stages)) + 1 {
		for _, m := range metrics {
			title := m.title
			if stage > 0 {
				title = fmt.Sprintf("stage %d: %s", stage, title)
			}
			if m.title != "" && (stage == 0 || m.name == "p99" || m.name == "lost") {
				p.metric(&m, title, m.values(a, stage), m.values(b, stage))
			}
		}
	}
	if n := runsNeeded(); rankSumCut(max(len(a.Turns), 1), max(len(b.Turns), 1)) == 0 {
		p.printf("not enough runs to say what is better or worse: %d for each side are (versus --turns %d, or compare a1.json a2.json … -- b1.json b2.json …)\n", n, n)
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

// values are the metric's, sorted, of the runs that have it, or of one stage of each; or of
// all together, which has what was measured once.
func (m *metric) values(r *Report, stage int) (all []float64) {
	for _, run := range append(slices.Clone(r.Turns), r) {
		if v, ok := m.value(run.part(stage)); ok && (run != r || len(all) == 0) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return all
}

// metric writes the line of one.
func (p *printer) metric(m *metric, title string, a, b []float64) {
	if len(a)+len(b) == 0 {
		return
	}
	p.printf("%-34s %14s %14s", title, shown(m.unit, a), shown(m.unit, b))
	defer p.printf("\n")
	if len(a) == 0 || len(b) == 0 || a[0] == b[len(b)-1] && b[0] == a[len(a)-1] {
		return
	}
	// A ratio, where there can be one.
	write, ratio := m.unit.format, a[0] > 0 && b[0] > 0
	of := func(all []float64) (some []float64) {
		for _, v := range all {
			if v = min(v, float64(loadtest.Never)); ratio { // a lost message's is infinite
				v = math.Log(v)
			}
			some = append(some, v)
		}
		return some
	}
	if ratio {
		write = func(v float64) string { return fmt.Sprintf("%+.1f %%", 100*math.Expm1(v)) }
	}
	low, change, high, enough := shift(of(a), of(b))
	p.printf(" %9s", write(change))
	if !enough {
		return
	}
	verdict := "no difference seen"
	switch {
	case low > 0 && m.more, high < 0 && !m.more:
		verdict = "better"
	case low > 0, high < 0:
		verdict = "worse"
	}
	p.printf("  %s to %s: %s", write(low), write(high), verdict)
}

func shown(u unit, sorted []float64) string {
	if len(sorted) == 0 {
		return "–"
	}
	return u.format(median(sorted))
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
	add("stages", strings.Join(a.Settings.Stages, " "), strings.Join(b.Settings.Stages, " "))
	add("processors", a.Environment.CPUs, b.Environment.CPUs)
	add("kernel", a.Environment.Kernel, b.Environment.Kernel)
	return all
}
