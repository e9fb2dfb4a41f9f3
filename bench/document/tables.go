package document

import (
	"fmt"
	"slices"
	"strings"

	"peal/bench/record"
)

// tables has, for each name of a record, the function that shows it.
var tables = map[string]func(*record.Record) (string, error){
	"ceiling":          rows,
	"memory":           rows,
	"auth":             rows,
	"own":              rows,
	"tls":              rows,
	"shared":           rows,
	"pusher":           rows,
	"edge":             rows,
	"requests":         rows,
	"workloads":        rows,
	"sets":             rows,
	"cluster":          cluster,
	"hundred-thousand": hundredThousand,
	"gate":             rows,
	"transports":       transports,
	"latency-load":     latencyLoad,
	"correctness":      correctness,
	"generator":        generator,
	"peers":            peers,
	"parts":            parts,
}

// summaries are regions made from several records. They work without any.
var summaries = map[string]func(map[string]*record.Record) string{
	"losses":         writeLosses,
	"extrapolations": extrapolations,
	"capacity":       capacity,
}

// head describes how the table was measured.
func head(r *record.Record) string {
	var b strings.Builder
	if r.Quick {
		b.WriteString("**A quick pass with small sizes. It only shows that the command works: do not quote it.**\n\n")
	}
	fmt.Fprintf(&b, "`%s`: %s. %s.", r.Command, brackets(samples(r)), r.Environment.String())
	if s := r.Sizes; s != nil {
		fmt.Fprintf(&b, " Unless a line says otherwise: %d subscribers, %d idle connections, runs of %.3g s.", s.Subscribers, s.Idle, s.Length)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, " Not measured: %s.", m)
	}
	if n := len(r.Runs); n > 0 {
		fmt.Fprintf(&b, " One of its %d runs: `%s`.", n, r.Runs[0].Command)
	}
	return b.String() + "\n\n"
}

// samples returns how many samples each row, or label, has.
func samples(r *record.Record) (n []int) {
	for _, row := range r.Rows {
		if row.Error == "" {
			n = append(n, len(row.A))
		}
	}
	of := map[string]int{}
	for _, run := range r.Runs {
		of[run.Server+" "+run.Label]++
	}
	for _, k := range of {
		n = append(n, k)
	}
	if n == nil {
		return []int{0}
	}
	return n
}

// grid writes a Markdown table.
func grid(columns []string, lines [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	line(slices.Repeat([]string{"---"}, len(columns)))
	for _, cells := range lines {
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		line(cells)
	}
	return b.String()
}

// rows shows the samples of one side, or of two.
func rows(r *record.Record) (string, error) {
	two, judged := false, false
	for _, row := range r.Rows {
		two, judged = two || len(row.B) > 0, judged || row.Target != nil
	}
	columns := []string{"", "Measured"}
	if two {
		columns = []string{"", "A: " + sideName(r, 0), "B: " + sideName(r, 1) + ", or as the row says", "A to B, by pairs"}
	}
	if judged {
		columns = append(columns, "Target", "")
	}
	var lines [][]string
	for _, row := range r.Rows {
		line := []string{row.What, spread(row.A, row.Unit)}
		if row.Error != "" && len(row.A) == 0 {
			line[1] = "failed: " + firstLine(row.Error)
			lines = append(lines, append(line, make([]string, len(columns)-2)...))
			continue
		}
		if two {
			line = append(line, without(row.B, row.Unit), relation(&row))
		}
		if judged {
			line = append(line, row.Limit(), row.Verdict())
		}
		lines = append(lines, line)
	}
	return grid(columns, lines), nil
}

func sideName(r *record.Record, i int) string {
	if i < len(r.Servers) {
		return r.Servers[i].Name
	}
	return "?"
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// without is spread, or "" for no samples.
func without(v []float64, unit string) string {
	if len(v) == 0 {
		return ""
	}
	return spread(v, unit)
}

// relation is A ÷ B, or A − B if the target is about the difference.
func relation(r *record.Row) string {
	difference := r.Target != nil && r.Target.Of == record.Difference
	switch {
	case len(r.B) == 0 || !difference && slices.Contains(r.B, 0):
		return ""
	case difference:
		return "+ " + spread(r.Pairs(record.Difference), r.Unit)
	}
	return "× " + spread(r.Pairs(record.Ratio), "")
}

// parts has a line for each benchmark: its time, in the unit of its row, and its
// allocations.
func parts(r *record.Record) (string, error) {
	var lines [][]string
	for i := 0; i+1 < len(r.Rows); i += 2 {
		time, allocations := r.Rows[i], r.Rows[i+1]
		if time.Key != allocations.Key {
			return "", fmt.Errorf("%s lacks its time or its allocations", time.Key)
		}
		lines = append(lines, []string{time.Key, spread(time.A, time.What), spread(allocations.A, "")})
	}
	return grid([]string{"Part", "Time", "Allocations"}, lines), nil
}

// transports has a line for each transport and format, and a column for each figure.
func transports(r *record.Record) (string, error) {
	columns := []string{""}
	var lines [][]string
	for _, row := range r.Rows {
		if n := len(lines); n == 0 || lines[n-1][0] != row.Key {
			lines = append(lines, []string{row.Key})
		}
		if len(lines) == 1 {
			columns = append(columns, row.What)
		}
		last := &lines[len(lines)-1]
		*last = append(*last, spread(row.A, ""))
	}
	for _, line := range lines {
		if len(line) != len(columns) {
			return "", fmt.Errorf("%s has %d figures, %s has %d", line[0], len(line)-1, lines[0][0], len(columns)-1)
		}
	}
	return grid(columns, lines), nil
}
