package trace_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"peal/server/trace"
)

// wide is a record with one connection, and the names of n channels.
func wide(n int) (r *trace.Record, j *trace.Joining) {
	head := uint64(1)
	r = trace.New(trace.Config{Lives: 1000, Bytes: 64 << 20, Head: func() uint64 { head++; return head }, Now: time.Now})
	j = &trace.Joining{Client: trace.Client{Session: 1, Name: "wide"}, Start: 1}
	for i := range n {
		j.Channels = append(j.Channels, fmt.Sprint("channel:", i))
	}
	return r, j
}

func BenchmarkWide(b *testing.B) {
	for _, n := range []int{128, 1024, 10_000} {
		b.Run(fmt.Sprint("join/", n), func(b *testing.B) {
			for b.Loop() {
				r, j := wide(n)
				r.Join(1, j)
			}
		})
		b.Run(fmt.Sprint("gaps/", n), func(b *testing.B) {
			for b.Loop() {
				r, j := wide(n)
				r.Join(1, j)
				for _, name := range j.Channels {
					r.Gap(1, name, 1, 5, trace.Retention)
				}
			}
		})
		b.Run(fmt.Sprint("leave/", n), func(b *testing.B) {
			for b.Loop() {
				r, j := wide(n)
				r.Join(1, j)
				r.Leave(1, j.Channels, 5, 5)
			}
		})
	}
}

// A connection with more channels than a life has room for is known to be there, and nothing more; it costs no more than
// one with few.
func TestManyChannelsOfOneConnection(t *testing.T) {
	for _, channels := range []int{512, 10_000} { // and one more
		r, j := wide(channels)
		r.Join(1, j)
		few := &trace.Joining{Client: trace.Client{Session: 2, Name: "few"}, Channels: []string{"channel:1"}, Start: 1}
		r.Join(2, few)
		q := &trace.Question{Sequence: 100_000, Channels: []string{"channel:7"}, Name: "wide", IDOf: idOf}
		ask := func() trace.Answer {
			var f trace.Finding
			r.Ask(q, 0, 1000, func(uint32) uint64 { return 9 }, &f)
			return trace.Conclude(q, []trace.Finding{f}, false)
		}
		r.Join(1, &trace.Joining{Client: j.Client, Channels: []string{"one more"}, Start: 1, Covered: 200_000, Unsure: 200_000})
		r.Gap(1, "one more", 3, 4, trace.Policy)
		r.Leave(1, j.Channels[:3], 200_000, 200_000)
		if a := ask(); a.Verdict != trace.NotKnown || len(a.Found) != 1 {
			t.Errorf("%d channels: %+v", channels, a)
		}
		q.Name = "" // about all with that channel
		if a := ask(); a.Verdict != trace.NotKnown {
			t.Errorf("%d channels, by channel: %+v", channels, a)
		}
		q.Name = "few"
		if a := ask(); a.Verdict != trace.NotSubscribed {
			t.Errorf("another connection: %+v", a)
		}
		r.End(1, 300_000, 300_000)
		r.End(2, 300_000, 300_000)
		if s := r.Stats(); s.Live != 0 || s.Ended != 2 || s.Bytes > 2000 {
			t.Errorf("%d channels: %+v", channels, s)
		}
	}
	r, j := wide(512)
	r.Join(1, j)
	q := &trace.Question{Sequence: 5, Channels: []string{"channel:7"}, Name: "wide", IDOf: idOf}
	var f trace.Finding
	r.Ask(q, 0, 1000, func(uint32) uint64 { return 9 }, &f)
	if a := trace.Conclude(q, []trace.Finding{f}, false); a.Verdict != trace.Sent {
		t.Errorf("512 channels: %+v", a)
	}
}

// BenchmarkMemory is what the record of 100,000 open connections costs, each with a name and some of 1,000 channels.
func BenchmarkMemory(b *testing.B) {
	const connections = 100_000
	for _, channels := range []int{1, 5} {
		b.Run(fmt.Sprint("channels/", channels), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				r := trace.New(trace.Config{Lives: connections, Bytes: 1 << 30, Head: func() uint64 { return 1 }, Now: time.Now})
				for i := range connections {
					j := &trace.Joining{Client: trace.Client{Session: uint64(i + 1), Name: fmt.Sprintf("user-%06d", i)}, Start: 1}
					for k := range channels {
						j.Channels = append(j.Channels, fmt.Sprint("channel:", (i+k)%1000))
					}
					r.Join(uint32(i), j)
				}
				b.ReportMetric(float64(heap()-before)/connections, "B/connection")
				b.ReportMetric(float64(r.Stats().Bytes)/connections, "charged-B/connection")
			}
		})
	}
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
