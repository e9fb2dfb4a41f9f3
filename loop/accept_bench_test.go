package loop_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/admit"
)

// BenchmarkAccept compares what a connection costs the loop from its accept, as a WebSocket with one channel, to its end, with
// the limits of admission and without them: time in callbacks, of many batches in turns, and the median and
// the quartiles of what they differ by in a round. Two servers without limits show how exact that is. Each of
// the addresses is counted; nothing is refused.
//
//	go test ./loop -run - -bench BenchmarkAccept -benchtime 200x -count 5
func BenchmarkAccept(b *testing.B) {
	const batch = 400
	limits := admit.Limits{
		PerAddress: 1000, Rate: admit.Rate{Interval: 1, Burst: 1 << 20}, AddressRate: admit.Rate{Interval: 1, Burst: 1 << 20},
		RefusalRate: admit.Rate{Interval: 1, Burst: 1000},
	}
	servers := [3]*server{ // without, without once more, with
		start(b, options{config: loop.Config{Loops: 1}, unlimited: true}),
		start(b, options{config: loop.Config{Loops: 1}, unlimited: true}),
		start(b, options{config: loop.Config{Loops: 1, Admission: limits}}),
	}
	run := func(s *server, round int) time.Duration {
		s.group.Pause(true)
		before := s.stats()[0]
		all := make([]*client, batch)
		for i := range all {
			all[i] = s.dialFrom(fmt.Sprintf("127.0.%d.%d", 1+i%8, 2+i/8), 0)
			all[i].send("wsraw a now\n")
		}
		s.group.Pause(false)
		s.awaitConnections(batch)
		for _, c := range all {
			c.expect("stream")
			c.reset()
		}
		s.awaitConnections(0)
		after := s.stats()[0]
		if after.Accepted-before.Accepted != batch || after.Refused > 0 {
			b.Fatalf("round %d: %d accepted, %d refused", round, after.Accepted-before.Accepted, after.Refused)
		}
		return after.Busy - before.Busy
	}
	for _, s := range servers {
		run(s, 0)
	}
	b.ResetTimer()
	var without, same, extra []float64 // ns a connection; of one round, in which each server comes first in turns
	for i := range b.N {
		var busy [3]float64
		for k := range servers {
			which := (i + k) % len(servers)
			busy[which] = float64(run(servers[which], i)) / batch
		}
		plain := (busy[0] + busy[1]) / 2
		without, same, extra = append(without, plain), append(same, busy[1]-busy[0]), append(extra, busy[2]-plain)
	}
	for _, all := range [][]float64{without, same, extra} {
		slices.Sort(all)
	}
	base := without[b.N/2]
	b.ReportMetric(base, "off-ns/conn")
	b.ReportMetric(100*same[b.N/2]/base, "off-again-%")
	b.ReportMetric(100*extra[b.N/2]/base, "on-%")
	b.ReportMetric(100*extra[b.N/4]/base, "on-%-q1")
	b.ReportMetric(100*extra[b.N*3/4]/base, "on-%-q3")
	b.ReportMetric(0, "ns/op")
}
