package document

import (
	"fmt"
	"math"
	"strings"

	"peal/bench/record"
)

// peal is the name of our own server.
const peal = "peal"

// rival is a figure by which servers are compared.
type rival struct {
	column
	key  string
	less bool // less is better
}

var rivals = []rival{
	{column{"deliveries per server-CPU-second", perCPU}, "cpu", false},
	{column{"p50, ms", p50}, "p50", true},
	{column{"p99, ms", p99}, "p99", true},
	{column{"resident bytes per connection", bytesPerConnection}, "bytes", true},
}

func peers(r *record.Record) (string, error) {
	all, err := groups(r)
	if err != nil {
		return "", err
	}
	var columns []column
	for _, v := range rivals {
		columns = append(columns, v.column)
	}
	var b strings.Builder
	b.WriteString(table("Server", func(g *group) string { return g.server + ", " + g.label }, all, columns))
	for _, s := range r.Servers {
		fmt.Fprintf(&b, "\n%s, %s: `%s`", s.Name, s.Version, s.Command)
		if s.Configuration != "" {
			fmt.Fprintf(&b, "\n\n<details><summary>Configuration</summary>\n\n```\n%s\n```\n\n</details>", strings.TrimSpace(s.Configuration))
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// beaten returns the figures in which another server is better than Peal on the same
// transport, by the median of the ratios of all rounds.
func beaten(r *record.Record) (all []loss) {
	measured, err := groups(r)
	if err != nil {
		return nil // peers reports it
	}
	ours := map[string]*group{}
	for _, g := range measured {
		if g.server == peal {
			ours[g.label] = g
		}
	}
	for _, g := range measured {
		own := ours[g.label]
		if g.server == peal || own == nil {
			continue
		}
		for _, v := range rivals {
			ratios := byRounds(own.of(v.of), g.of(v.of))
			if m := record.Median(ratios); len(ratios) == 0 || v.less && m <= 1 || !v.less && m >= 1 {
				continue
			}
			what := fmt.Sprintf("%s, %s, against %s: × %s", v.name, g.label, g.server, spread(ratios, ""))
			undecided := straddles(ratios, 1)
			if n, _ := own.valid(); n < len(own.reports) {
				what, undecided = what+", from runs that were not all valid", true
			}
			all = append(all, loss{key: fmt.Sprintf("peers-%s-%s", g.server, v.key), quick: r.Quick, undecided: undecided,
				what: what})
		}
	}
	return all
}

// byRounds divides a by b, round by round.
func byRounds(a, b []float64) (v []float64) {
	for i := range min(len(a), len(b)) {
		if x := a[i] / b[i]; !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	return v
}
