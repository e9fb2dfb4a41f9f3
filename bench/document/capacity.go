package document

import (
	"fmt"

	"peal/bench/record"
)

// slope is a figure that grows with the number of connections.
type slope struct {
	what, unit       string
	record, key, row string
	of               func(row record.Row) float64 // per connection
}

// capacitySizes are the numbers of connections that the table shows, as its head has them.
var capacitySizes = []float64{10_000, 100_000, 1_000_000}

func measured(row record.Row) float64 { return record.Median(row.A) }
func perEach(row record.Row) float64  { return 1 / record.Median(row.A) }
func more(row record.Row) float64     { return record.Median(row.Pairs(record.Difference)) }

// half: both ends were on one machine, and each takes half of the kernel's memory.
func half(row record.Row) float64 { return record.Median(row.A) / 2 }

// slopes are the rows of the table. An empty row name is the first row of the key.
var slopes = []slope{
	{"resident, idle WebSocket", "bytes", "memory", "memory-ws", "resident, WebSocket", measured},
	{"resident, idle WebSocket with a token of its own", "bytes", "auth", "auth-idle", "resident bytes of it", measured},
	{"the same, with presence", "bytes", "auth", "auth-idle-presence", "resident bytes of it", measured},
	{"resident, idle WebSocket over TLS", "bytes", "tls", "tls-idle", "", measured},
	{"in addition: a channel of its own, with one subscriber", "bytes", "ceiling", "channel", "", more},
	{"in addition: the kernel's memory, the server's end", "bytes", "memory", "memory-ws", "kernel, both ends, WebSocket", half},
	{"one message to all", "CPU-seconds", "ceiling", "fanout-1-15000", "deliveries per server-CPU-second, 1 in flight, 15000 subscribers", perEach},
	{"all connect again", "CPU-seconds", "ceiling", "accept", "accepted and upgraded connections per server-CPU-second", perEach},
	{"the same, each with a token that the server does not know, HS256", "CPU-seconds", "auth", "auth-accept-HS256-uncached", "", perEach},
	{"the same, ES256", "CPU-seconds", "auth", "auth-accept-ES256-uncached", "", perEach},
	{"all connect again over TLS, each with a full handshake (X25519)", "CPU-seconds", "tls", "tls-full", "", perEach},
	{"the same with ML-KEM, as browsers do it", "CPU-seconds", "tls", "tls-hybrid", "", perEach},
	{"the same with X25519, and sessions that are resumed", "CPU-seconds", "tls", "tls-resumed", "", perEach},
}

// capacity computes what numbers of connections need, from slopes that were measured
// with fewer.
func capacity(records map[string]*record.Record) string {
	columns := []string{"", "for each connection", "10,000", "100,000", "1,000,000", "measured by"}
	var lines [][]string
	for _, s := range slopes {
		r := records[s.record]
		if r == nil {
			continue
		}
		row := find(r, s.key, s.row)
		if row == nil || len(row.A) == 0 {
			continue
		}
		each := s.of(*row)
		line := []string{s.what, fmt.Sprintf("%.0f bytes", each)}
		if s.unit != "bytes" {
			line[1] = fmt.Sprintf("%.1f µs", each*1e6)
		}
		for _, n := range capacitySizes {
			if s.unit == "bytes" {
				line = append(line, record.Format(each*n/1e6, "MB"))
			} else {
				line = append(line, record.Format(each*n, "s"))
			}
		}
		quick := ""
		if r.Quick {
			quick = quickly
		}
		lines = append(lines, append(line, "`"+r.Command+"`"+quick))
	}
	if lines == nil {
		return "None.\n"
	}
	return grid(columns, lines)
}

// find returns a row of r, the first of the key if what is empty; nil without.
func find(r *record.Record, key, what string) *record.Row {
	for i, row := range r.Rows {
		if row.Key == key && (what == "" || row.What == what) {
			return &r.Rows[i]
		}
	}
	return nil
}
