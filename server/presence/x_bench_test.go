package presence_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/presence"
)

const crowd = 100_000

func clients(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user-%07d", (i*7919)%n) // in no order
	}
	return all
}

func BenchmarkJoinAndLeave(b *testing.B) {
	for _, members := range []int{1, 100, crowd} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			r := newRig(presence.Config{})
			r.Watch("a")
			all := clients(members)
			for _, client := range all {
				r.Join("a", client, "")
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r.Leave("a", all[i%members])
				r.Join("a", all[i%members], "")
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	r := newRig(presence.Config{})
	for _, client := range clients(crowd) {
		r.Join("a", client, "")
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r.List("a", fmt.Sprintf("user-%07d", i%crowd), 1000)
	}
}

// BenchmarkHold is how long one lock hold of Tick takes: 64 members of a crowd
// whose grace has ended, or the events of 16 channels with 100 names each. The
// third kind of long hold is a page: BenchmarkList.
func BenchmarkHold(b *testing.B) {
	const holdSteps, holdEvents = 64, 16
	publish := func(*presence.Event) error { return nil }
	b.Run("what=expire", func(b *testing.B) {
		all := clients(crowd)
		for range b.N {
			b.StopTimer()
			r := newRig(presence.Config{})
			r.Watch("a")
			for _, client := range all {
				r.Join("a", client, "")
				r.Leave("a", client)
			}
			r.time = r.time.Add(time.Minute)
			b.StartTimer()
			r.Tick(publish)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(crowd/holdSteps), "µs/hold")
	})
	b.Run("what=events", func(b *testing.B) {
		const channels = 2048
		all := clients(100)
		for range b.N {
			b.StopTimer()
			r := newRig(presence.Config{})
			for c := range channels {
				name := fmt.Sprint("c", c)
				r.Watch(name)
			}
			r.pass(time.Second)
			for c := range channels {
				for _, client := range all {
					r.Join(fmt.Sprint("c", c), client, "")
				}
			}
			r.time = r.time.Add(time.Minute)
			b.StartTimer()
			r.Tick(publish)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(channels/holdEvents), "µs/hold")
	})
}

// BenchmarkWait has 100,000 members of one channel come, be listed and go, while
// another goroutine joins that channel again and again, as a loop would: how long
// it waits, at the median and beyond. The longest waits are those in which the machine ran
// something else.
func BenchmarkWait(b *testing.B) {
	names := clients(crowd)
	var waits []time.Duration
	for range b.N {
		var ahead atomic.Int64
		began := time.Now()
		table := presence.New(presence.Config{}, func(string) bool { return true }, func() time.Time { return began.Add(time.Duration(ahead.Load())) })
		table.Watch(1, "a")
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { // ends with stop
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				g := table.Enter(1, "user-x", "")
				g.Sit([]string{"a"}, "user-x", "", all)
				waits = append(waits, time.Since(began))
				g.End()
			}
		}()
		var guests []*presence.Guest
		for _, client := range names {
			g := table.Enter(1, client, "")
			g.Sit([]string{"a"}, client, "", all)
			guests = append(guests, g)
		}
		for after, more := "", true; more; {
			p := table.List("a", after, 1000)
			after, more = p.Members[len(p.Members)-1].Client, p.More
		}
		for _, g := range guests {
			g.End()
		}
		ahead.Store(int64(time.Minute))
		table.Tick(func(*presence.Event) error { return nil })
		close(stop)
		<-done
	}
	slices.Sort(waits)
	for _, q := range []float64{0.5, 0.99, 0.999, 0.9999} {
		b.ReportMetric(float64(waits[int(q*float64(len(waits)))].Nanoseconds())/1000, fmt.Sprintf("µs-p%g", 100*q))
	}
}
