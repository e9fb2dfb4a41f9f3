package loop_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// millionKernel is a memoryKernel whose time is simulated: it passes while pass runs. Its clients answer pings.
type millionKernel struct {
	*memoryKernel
	at, next, every time.Duration
	unread          []uint8 // by socket: what waits there
	answering       bool    // what is sent is a ping, which the client answers
	sent            int
	longest         time.Duration // processor time of one callback
}

const (
	waitsRequest = 1 + iota
	waitsPong
)

var pong = []byte{0x8a, 0x80, 1, 2, 3, 4}

func (k *millionKernel) Now() time.Duration          { return k.at }
func (k *millionKernel) Random(n int64) int64        { return rand.Int64N(n) }
func (k *millionKernel) Tick(every time.Duration)    { k.every, k.next = every, k.at+every }
func (k *millionKernel) Close() error                { return nil }
func (k *millionKernel) After(time.Duration, func()) {}

func (k *millionKernel) Accept(listener int32) (loop.Arrival, error) {
	a, err := k.memoryKernel.Accept(listener)
	if err == nil {
		delete(k.memoryKernel.unread, a.Socket)
		for int(a.Socket) >= len(k.unread) {
			k.unread = append(k.unread, make([]uint8, 1<<16)...)
		}
		k.unread[a.Socket] = waitsRequest
	}
	return a, err
}

func (k *millionKernel) Read(socket int32, b []byte) (int, error) {
	waits := k.unread[socket]
	k.unread[socket] = 0
	switch waits {
	case waitsRequest:
		return copy(b, k.request(int(socket))), nil
	case waitsPong:
		return copy(b, pong), nil
	}
	return 0, loop.ErrAgain
}

func (k *millionKernel) Send(socket int32, b []byte) (int, bool, error) {
	k.sent++
	if k.answering {
		k.unread[socket] = waitsPong
		k.ready = append(k.ready, socket)
	}
	return len(b), false, nil
}

// timed is f with its processor time.
func (k *millionKernel) timed(f func()) {
	began := threadTime()
	f()
	k.longest = max(k.longest, threadTime()-began)
}

// serve serves what is ready, and the turns that follow.
func (k *millionKernel) serve() {
	for len(k.ready) > 0 || k.turn {
		ready := k.ready
		k.ready = nil
		for _, socket := range ready {
			k.timed(func() { k.handler.Ready(socket, loop.Readable) })
		}
		if k.turn {
			k.turn = false
			k.timed(k.handler.Turn)
		}
	}
}

// pass lets time pass, on the loop's goroutine.
func (k *millionKernel) pass(d time.Duration) {
	for until := k.at + d; k.every > 0 && k.next <= until; {
		k.at = k.next
		k.next += k.every
		k.timed(k.handler.Tick)
		k.serve()
	}
}

func threadTime() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) // cannot fail on Linux
	return time.Duration(now.Nano())
}

// collector is the processor time that the collector has used since the process began, without that which nobody
// else wanted.
func collector() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * 1e9)
}

// BenchmarkMillion is what so many WebSockets in one process cost, of which this machine cannot open as many: on
// one loop, in a loop's and a fan-out's own structures, with clients that take what they are sent and answer pings. Nothing of
// the kernel is in it: add its memory and its time for each send and read.
//
//   - heap-B/session: the heap after a collection, divided by the sessions.
//   - gc-ms/cycle: processor time of one collection; stop-µs/cycle: how long it stops the world.
//   - beat-ns: processor time for a heartbeat and its pong over a minute in which time is simulated, the timing wheel
//     included; beat-longest-µs: most of one callback; beats/s: of the busiest second by the clock of the simulation.
//   - resume-µs: processor time for a client that connects with its old position and gets the ten messages
//     that it missed; resume-longest-µs: most of one callback meanwhile.
//
// With 1,000,000 sessions it needs 2 GiB:
//
//	go test ./loop -run '^$' -bench Million -benchtime 1x
func BenchmarkMillion(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			for range b.N {
				million(b, n)
			}
		})
	}
}

const missed = 10 // messages that a client of the storm has missed

func million(b *testing.B, n int) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // cycles are asked for
	b.ReportMetric(0, "ns/op")                       // of no use
	journal := newJournal(4096, missed)
	for i := range missed {
		journal.wake = func() {}
		journal.publish("all", fmt.Sprintf("message %d, of which a client has missed some", i))
	}
	var k *millionKernel
	began := make(chan struct{})
	memory, listen := openMemory(n, func(i int) string { return "wsjson all 0\n" })
	open := func(number int, h loop.Handler) (loop.Kernel, error) {
		inner, err := memory(number, h)
		k = &millionKernel{memoryKernel: inner.(*memoryKernel), at: time.Hour}
		return k, err
	}
	runtime.GC()
	before := heap()
	s := prepare(b, options{journal: journal, open: open, listen: listen, unlimited: true,
		config: loop.Config{Loops: 1, MaxConnections: n + 1, Heartbeat: 20 * time.Second}})
	// All clients are here at once. The loop's goroutine is ours.
	done := make(chan struct{})
	var resumed, beaten time.Duration
	var longest [2]time.Duration
	beats, busiest := 0, 0
	s.group.PostTo(0, func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		close(began)
		from := threadTime()
		k.serve()
		resumed, longest[0] = threadTime()-from, k.longest
		k.answering, k.sent, k.longest = true, 0, 0
		from = threadTime()
		for range 60 {
			sent := k.sent
			k.pass(time.Second)
			busiest = max(busiest, k.sent-sent)
		}
		beats, beaten, longest[1] = k.sent, threadTime()-from, k.longest
		close(done)
	})
	s.run()
	<-began
	<-done
	if open := s.journal.subscribers(); open != n {
		b.Fatalf("%d of %d clients are subscribed", open, n)
	}
	if least := 2 * n; beats < least { // the first of each comes after 17 to 24 s
		b.Errorf("%d heartbeats in a minute, want at least %d", beats, least)
	}
	runtime.GC()
	var was, is debug.GCStats
	debug.ReadGCStats(&was)
	used, cycles := collector(), 10
	for range cycles {
		runtime.GC()
	}
	used = collector() - used
	debug.ReadGCStats(&is)
	size := heap()
	b.ReportMetric(float64(size-before)/float64(n), "heap-B/session")
	b.ReportMetric(used.Seconds()*1e3/float64(cycles), "gc-ms/cycle")
	b.ReportMetric(float64((is.PauseTotal-was.PauseTotal).Microseconds())/float64(cycles), "stop-µs/cycle")
	b.ReportMetric(resumed.Seconds()*1e6/float64(n), "resume-µs")
	b.ReportMetric(longest[0].Seconds()*1e6, "resume-longest-µs")
	b.ReportMetric(float64(beaten.Nanoseconds())/float64(beats), "beat-ns")
	b.ReportMetric(longest[1].Seconds()*1e6, "beat-longest-µs")
	b.ReportMetric(float64(busiest), "beats/s")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.group.Drain(ctx)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
