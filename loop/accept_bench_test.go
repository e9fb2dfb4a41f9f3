package loop_test

import (
	"fmt"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/admit"
)

// BenchmarkAccept compares what a connection costs the loop from its accept, with one request, to its end, with
// the limits of admission and without them: time in callbacks, of the quietest of many batches in turns.
// Each of the addresses is counted; nothing is refused.
//
//	go test ./loop -run - -bench BenchmarkAccept -benchtime 100x
func BenchmarkAccept(b *testing.B) {
	const batch = 400
	limits := admit.Limits{
		PerAddress: 1000, Rate: admit.Rate{Interval: 1, Burst: 1 << 20}, AddressRate: admit.Rate{Interval: 1, Burst: 1 << 20},
		RefusalRate: admit.Rate{Interval: 1, Burst: 1000},
	}
	off := start(b, options{config: loop.Config{Loops: 1}, unlimited: true})
	on := start(b, options{config: loop.Config{Loops: 1, Admission: limits}})
	run := func(s *server, round int) time.Duration {
		s.group.Pause(true)
		before := s.stats()[0]
		all := make([]*client, batch)
		for i := range all {
			all[i] = s.dialFrom(fmt.Sprintf("127.0.%d.%d", 1+i%8, 2+i/8), 0)
			all[i].send("echo in\n")
		}
		s.group.Pause(false)
		s.awaitConnections(batch)
		for _, c := range all {
			c.expect("in")
			c.reset()
		}
		s.awaitConnections(0)
		after := s.stats()[0]
		if after.Accepted-before.Accepted != batch || after.Refused > 0 {
			b.Fatalf("round %d: %d accepted, %d refused", round, after.Accepted-before.Accepted, after.Refused)
		}
		return after.Busy - before.Busy
	}
	run(off, 0)
	run(on, 0)
	b.ResetTimer()
	without, with := time.Hour, time.Hour // the quietest batch of each: other programs only add
	for i := range b.N {
		without = min(without, run(off, i))
		with = min(with, run(on, i))
	}
	n := float64(batch)
	b.ReportMetric(float64(without)/n, "off-ns/conn")
	b.ReportMetric(float64(with)/n, "on-ns/conn")
	b.ReportMetric(100*float64(with-without)/float64(without), "extra-%")
	b.ReportMetric(0, "ns/op")
}
