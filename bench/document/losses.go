package document

import (
	"fmt"
	"slices"
	"strings"

	"peal/bench"
	"peal/bench/record"
)

// loss is a target that was missed, or a figure in which a peer is better.
type loss struct {
	key       string
	what      string
	undecided bool // the samples lie on both sides of the limit
	quick     bool
	reason    string // "": none is known
}

// losses are all of them, ceiling and memory first.
func losses(records map[string]*record.Record) (all []loss) {
	names := make([]string, 0, len(records))
	for name := range records {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r := records[name]
		for i := range r.Rows {
			o := r.Rows[i].Outcome()
			if o.Verdict() != "missed" {
				continue
			}
			shown := relation(&o)
			if o.Target.Of == bench.Value {
				shown = spread(o.A, o.Unit)
			}
			all = append(all, loss{key: o.Key, quick: r.Quick, undecided: straddles(o.Judged(), o.Target.Limit),
				what: fmt.Sprintf("%s: %s, target %s", o.What, shown, bench.FormatTarget(&o))})
		}
		if name == "peers" {
			all = append(all, beaten(r)...)
		}
	}
	for i := range all {
		all[i].reason = reasonFor(all[i].key)
	}
	return all
}

// straddles reports whether v has values on both sides of limit.
func straddles(v []float64, limit float64) bool {
	return len(v) > 0 && slices.Min(v) <= limit && slices.Max(v) >= limit
}

// reasonFor finds the reason with the longest key that key begins with.
func reasonFor(key string) (reason string) {
	longest := 0
	for k, text := range reasons {
		if strings.HasPrefix(key, k) && len(k) > longest {
			longest, reason = len(k), text
		}
	}
	return reason
}

// quickly ends a sentence about a quick record.
const quickly = " (Of a quick pass with small sizes.)"

func writeLosses(records map[string]*record.Record) string {
	all := losses(records)
	if len(all) == 0 {
		return "In nothing that is measured here.\n"
	}
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "- **%s.**", l.what)
		if l.reason != "" {
			b.WriteString(" " + l.reason)
		}
		if l.undecided {
			b.WriteString(" The samples lie on both sides of the line: this run cannot tell.")
		}
		if l.quick {
			b.WriteString(quickly)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// extrapolations are figures that nobody measured.
func extrapolations(records map[string]*record.Record) string {
	r := records["memory"]
	if r == nil {
		return "None.\n"
	}
	of := map[string]float64{} // bytes of a WebSocket, by kind
	for _, row := range r.Rows {
		if row.Key == "memory-ws" {
			kind, _, _ := strings.Cut(row.What, ",")
			of[kind] = bench.Median(row.A)
		}
	}
	// Both ends of a connection are on one machine here, a client's costs what a
	// server's costs.
	quick := ""
	if r.Quick {
		quick = quickly
	}
	return fmt.Sprintf("- **Extrapolated, not measured:** a million idle WebSocket connections on one server would be %.2g GB resident and, if the kernel's memory is "+
		"half the server's, another %.2g GB of the kernel's. Measured were the connections of the table, on one process with its limit of descriptors.%s\n",
		of["resident"]*1e6/1e9, of["kernel"]/2*1e6/1e9, quick)
}
