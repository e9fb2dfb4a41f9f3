package bench

import (
	"fmt"
	"strconv"
	"strings"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/dialect"
)

// SetExperiments compare subscribers that each have channels of their own beside the shared ones (A)
// with subscribers that all have the same channels (B), as many, on the same build. All messages
// are published on the shared channels, in turns.
func (c *Config) SetExperiments() (all []Experiment) {
	for _, sets := range []struct{ shared, own int }{{1, 1}, {1, 5}, {1, 20}, {5, 1}, {20, 1}} {
		for _, inFlight := range []int{16, 256} {
			what := fmt.Sprintf("%d in flight, %d subscribers with %d shared channels: %d of their own (A), the same for all (B)", inFlight, c.Subscribers, sets.shared, sets.own)
			f := fanout{subscribers: c.Subscribers, channels: sets.shared, load: loadtest.Load{Length: c.Length, InFlight: inFlight}}
			a, b := f, f
			a.query, b.query = ownChannels(sets.own, "{i}"), ownChannels(sets.own, "same")
			all = append(all, Experiment{Key: fmt.Sprintf("sets-%d-%d-%d", sets.shared, sets.own, inFlight), Rows: []record.Row{
				{What: "deliveries per server-CPU-second, " + what, Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.9)},
				{What: "p99, " + what, Unit: "ms"},
			}, A: a.side(c.Peal, 1), B: b.side(c.Peal, 1)})
		}
	}
	return all
}

// ownChannels is a query for n channels. {i} in of is the number of the connection.
func ownChannels(n int, of string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = "channel=own-" + of + "-" + strconv.Itoa(i)
	}
	return strings.Join(all, "&")
}

// numbered has {i} in a query stand for the number of the connection.
var numbered = dialect.Data{}.With("numbered", "")
