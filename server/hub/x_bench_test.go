package hub_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/log/memory"
)

// BenchmarkAppend goes the whole way of a publication to the ring: engine,
// number, histories. One entry per batch, as publishers send them.
func BenchmarkAppend(b *testing.B) {
	for _, channels := range []int{1, 10_000} {
		for _, batched := range []int{1, 16} {
			b.Run(fmt.Sprintf("channels=%d/batch=%d", channels, batched), func(b *testing.B) {
				names := names(channels)
				l := memory.Open(time.Now)
				l.Start(hub.New(hub.Config{}, noRing{}, nothing, time.Now), nil)
				data := make([]byte, 100)
				batch := make([]*log.Entry, batched)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batched {
					for k := range batch {
						batch[k] = &log.Entry{Channel: names[(i+k)%channels], Data: data}
					}
					if err := l.Append(batch, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

// BenchmarkAppendParallel appends from all cores at once.
func BenchmarkAppendParallel(b *testing.B) {
	names := names(10_000)
	l := memory.Open(time.Now)
	l.Start(hub.New(hub.Config{}, noRing{}, nothing, time.Now), nil)
	data := make([]byte, 100)
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		batch := make([]*log.Entry, 1)
		for i := int(next.Add(2500)); pb.Next(); i++ {
			batch[0] = &log.Entry{Channel: names[i%len(names)], Data: data}
			if err := l.Append(batch, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, count := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("messages=%d", count), func(b *testing.B) {
			r := newRig(hub.Config{})
			for range 1000 {
				r.publish("a", "")
			}
			var msgs []*ring.Message
			b.ReportAllocs()
			for b.Loop() {
				if msgs, _, _ = r.Read(msgs[:0], "a", 0, all, count, all); len(msgs) != count {
					b.Fatal(len(msgs))
				}
			}
		})
	}
}

func BenchmarkJoinLeave(b *testing.B) {
	b.Run("known", func(b *testing.B) {
		r := newRig(hub.Config{})
		r.Join("a")
		b.ReportAllocs()
		for b.Loop() {
			r.Join("a")
			r.Leave("a")
		}
	})
	b.Run("new", func(b *testing.B) {
		r := newRig(hub.Config{})
		b.ReportAllocs()
		for b.Loop() {
			r.Join("a")
			r.Leave("a")
		}
	})
}

func BenchmarkChannels(b *testing.B) {
	r := newRig(hub.Config{})
	for _, name := range names(100_000) {
		r.Join(name)
	}
	b.ReportAllocs()
	for b.Loop() {
		if infos := r.Channels("", "", 100); len(infos) != 100 {
			b.Fatal(len(infos))
		}
	}
}

func names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("channel-%06d", i)
	}
	return names
}

// heapGrowth is what build leaves on the heap.
func heapGrowth(build func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	build()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

// idleChannelBytes measures a channel with one subscriber and no history,
// its own copy of a name of 14 bytes included.
func idleChannelBytes(channels int) int {
	names := names(channels)
	h := hub.New(hub.Config{}, noRing{}, nothing, time.Now)
	bytes := heapGrowth(func() {
		for _, name := range names {
			h.Join(name)
		}
	})
	runtime.KeepAlive(names)
	runtime.KeepAlive(h)
	return bytes / channels
}

func TestIdleChannelIsCheap(t *testing.T) {
	const limit = 80
	got := idleChannelBytes(100_000)
	t.Logf("%d bytes; the channel itself %d, a history %d", got, hub.ChannelBytes, hub.HistoryBytes)
	if got > limit {
		t.Errorf("a channel with one subscriber costs %d bytes, want at most %d", got, limit)
	}
}

// BenchmarkHistoryMemory compares what messages are charged with what they
// occupy: in few channels with long histories and in many of one message.
func BenchmarkHistoryMemory(b *testing.B) {
	for _, row := range []struct{ channels, each int }{{100, 1000}, {100_000, 1}} {
		b.Run(fmt.Sprintf("channels=%d/messages=%d", row.channels, row.each), func(b *testing.B) {
			for b.Loop() {
				names := names(row.channels)
				r := &rig{Hub: hub.New(hub.Config{}, noRing{}, nothing, time.Now), clock: newClock()}
				r.clock.at = time.Now()
				bytes := heapGrowth(func() {
					for range row.each {
						for _, name := range names {
							r.append(&log.Entry{Channel: name, Data: make([]byte, 100)})
						}
					}
				})
				st := r.Stats()
				b.ReportMetric(float64(bytes)/float64(st.Messages), "bytes/message")
				b.ReportMetric(float64(st.Bytes)/float64(st.Messages), "charged/message")
				runtime.KeepAlive(r)
			}
		})
	}
}

func BenchmarkIdleChannelMemory(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(idleChannelBytes(100_000)), "bytes/channel")
	}
}
