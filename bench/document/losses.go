package document

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"peal/bench/record"
)

// loss is a missed target, a figure in which a peer is better, a violated
// guarantee, or a measurement that failed.
type loss struct {
	key       string
	what      string
	undecided bool // the samples lie on both sides of the limit, or are not valid
	quick     bool
	reason    string // "": unknown
}

// losses are all of them, by the names of the records.
func losses(records map[string]*record.Record) (all []loss) {
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		for i := range r.Rows {
			row := &r.Rows[i]
			one := loss{key: row.Key, quick: r.Quick}
			switch row.Verdict() {
			case "failed", "not measured":
				one.what = row.What + ": could not be measured completely: " + firstLine(row.Error)
			case "missed":
				shown := relation(row)
				if row.Target.Of == record.Value {
					shown = spread(row.A, row.Unit)
				}
				one.what, one.undecided = fmt.Sprintf("%s: %s, target %s", row.What, shown, row.Limit()), straddles(row.Judged(), row.Target.Limit)
			default:
				continue
			}
			all = append(all, one)
		}
		all = append(all, violations(r)...)
		if name == "peers" {
			all = append(all, beaten(r)...)
		}
	}
	for i := range all {
		all[i].reason = reasonFor(all[i].key)
	}
	return all
}

// violations are the runs of Peal in which a message was lost, duplicated or
// reordered, or a guarantee was violated. An unreadable report is an error of its
// table.
func violations(r *record.Record) (all []loss) {
	add := func(label, what string) {
		all = append(all, loss{key: "lost-" + r.Name, quick: r.Quick, what: r.Name + ", " + label + ": " + what})
	}
	measured, err := groups(r)
	if err != nil {
		return nil
	}
	for _, g := range measured {
		if lost, wrong := g.sum(lost), g.sum(wrong...); g.server == peal && lost+wrong > 0 {
			add(g.label, fmt.Sprintf("%.0f messages lost, %.0f duplicated or reordered", lost, wrong))
		}
	}
	for _, run := range r.Runs {
		if run.Program == record.Chaos {
			if s, err := readSummary(run.Report); err == nil && !s.Clean {
				add(run.Label, fmt.Sprintf("a guarantee was violated, seed %d", s.Seed))
			}
		}
	}
	return all
}

// straddles reports whether v has values on both sides of the limit.
func straddles(v []float64, limit float64) bool {
	return len(v) > 0 && slices.Min(v) <= limit && slices.Max(v) >= limit
}

// reasonFor returns the reason with the longest prefix of key.
func reasonFor(key string) (reason string) {
	longest := 0
	for k, text := range reasons {
		if strings.HasPrefix(key, k) && len(k) > longest {
			longest, reason = len(k), text
		}
	}
	return reason
}

// quickly is added to a sentence about a quick record.
const quickly = " (From a quick pass with small sizes.)"

func writeLosses(records map[string]*record.Record) string {
	all := losses(records)
	if len(all) == 0 {
		return "None.\n"
	}
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "- **%s.**", l.what)
		if l.reason != "" {
			b.WriteString(" " + l.reason)
		}
		if l.undecided {
			b.WriteString(" These samples do not decide it: they lie on both sides of the limit, or are not valid.")
		}
		if l.quick {
			b.WriteString(quickly)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// extrapolations are figures that were computed, not measured.
func extrapolations(records map[string]*record.Record) string {
	r := records["memory"]
	if r == nil {
		return "None.\n"
	}
	of := map[string]float64{} // bytes of a WebSocket, by kind
	for _, row := range r.Rows {
		if row.Key == "memory-ws" {
			kind, _, _ := strings.Cut(row.What, ",")
			of[kind] = record.Median(row.A)
		}
	}
	// Both ends of a connection are on this machine, and each takes half of the
	// kernel's memory.
	quick := ""
	if r.Quick {
		quick = quickly
	}
	return fmt.Sprintf("- **Extrapolated, not measured:** a million idle WebSocket connections on one server would need %.2g GB resident and, if half of the kernel's memory belongs to "+
		"the server's end, another %.2g GB in the kernel. The table has the connections that were measured, on one process with its limit of descriptors.%s\n",
		of["resident"]*1e6/1e9, of["kernel"]/2*1e6/1e9, quick)
}
