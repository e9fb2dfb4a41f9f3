package fanout_test

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"peal/loop/fanout"
)

// BenchmarkOwnBesideShared compares members that each have channels of their own beside the
// shared ones with as many that all have the same channels. All messages come on the
// shared channels, and a message is published when all members have the one that is inflight
// before it. Sends are system calls on TCP connections of this machine. One iteration is a
// pair of measurements: -benchtime 7x for 7 pairs. What is reported are medians:
// deliveries in a second of processor time of the thread with the fan, of both, and
// their ratio, with the least and the greatest.
func BenchmarkOwnBesideShared(b *testing.B) {
	for _, sets := range []struct{ shared, own int }{{1, 1}, {1, 5}, {1, 20}, {5, 1}, {20, 1}} {
		for _, inFlight := range []int{16, 256} {
			b.Run(fmt.Sprintf("shared=%d/own=%d/inflight=%d", sets.shared, sets.own, inFlight), func(b *testing.B) {
				const members = 5000
				w := newWire(b, members)
				shared := names(sets.shared)
				var rates [2]*closedLoop
				for i := range rates {
					rates[i] = &closedLoop{scene: newScene(b, 128, shared...), out: w, inFlight: inFlight}
					s := rates[i].scene
					s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, w, nopEvents{})
					for slot := range members {
						set := slices.Clone(shared)
						for k := range sets.own {
							name := "a"
							if i == 0 {
								name = strconv.Itoa(100_000 + slot)
							}
							set = append(set, "own-"+name+"-"+strconv.Itoa(k))
						}
						slices.Sort(set)
						s.subscribe(false, set...)
					}
					rates[i].run(3)
				}
				var own, same, ratios []float64
				b.ResetTimer()
				for n := range b.N {
					first := n % 2
					var v [2]float64
					v[first] = rates[first].run(12)
					v[1-first] = rates[1-first].run(12)
					own, same, ratios = append(own, v[0]), append(same, v[1]), append(ratios, v[0]/v[1])
				}
				median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
				b.ReportMetric(median(own)/1e6, "own-M/cpu-s")
				b.ReportMetric(median(same)/1e6, "same-M/cpu-s")
				b.ReportMetric(median(ratios), "ratio")
				b.ReportMetric(ratios[0], "ratio-min")
				b.ReportMetric(ratios[len(ratios)-1], "ratio-max")
				for i, name := range []string{"own", "same"} {
					s := rates[i].fan.Stats()
					b.ReportMetric(float64(s.Deliveries)/float64(s.Sends), name+"-deliveries/send")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// closedLoop publishes on a scene.
type closedLoop struct {
	*scene
	out      *wire
	inFlight int
	had      uint64 // by all members
}

// run publishes until all members have as many messages as are in flight, times rounds, and
// returns the deliveries in a second of processor time.
func (c *closedLoop) run(rounds int) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	until := c.had + uint64(rounds*c.inFlight)
	deliveries, spent := c.fan.Stats().Deliveries, time.Duration(0)
	for c.had < until {
		began := threadTime()
		if n := int(c.had) + c.inFlight - int(c.source.head); n > 0 {
			c.apply(n)
		}
		c.fan.Flush(sceneBudget)
		spent += threadTime() - began
		c.out.drain()
		c.had = c.source.head
		for slot := range c.slots {
			c.had = min(c.had, c.fan.Position(slot))
		}
	}
	return float64(c.fan.Stats().Deliveries-deliveries) / spent.Seconds()
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var t syscall.Timespec
	const threadCPU = 3
	if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPU, uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		panic(e)
	}
	return time.Duration(t.Nano())
}

// wire sends to sockets, and reads all of it again.
type wire struct {
	nopSender
	sockets []socket
	queue   []queued
	sent    []int // sockets with something to read
	trash   [64 << 10]byte
}

type socket struct{ out, in int }

type queued struct {
	ticket uint32
	slot   int
	b      []byte
}

func newWire(tb testing.TB, n int) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	w := &wire{}
	tb.Cleanup(func() {
		for _, s := range w.sockets {
			_ = syscall.Close(s.out)
			_ = syscall.Close(s.in)
		}
	})
	descriptor := func(c net.Conn, err error) int {
		if err != nil {
			tb.Fatal(err)
		}
		defer c.Close()
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			tb.Fatal(err)
		}
		fd := -1
		if err := raw.Control(func(of uintptr) { fd, err = syscall.Dup(int(of)) }); err != nil {
			tb.Fatal(err)
		}
		if err != nil {
			tb.Fatal(err)
		}
		return fd
	}
	for range n {
		in := descriptor(net.Dial("tcp", l.Addr().String()))
		w.sockets = append(w.sockets, socket{descriptor(l.Accept()), in})
	}
	return w
}

func (w *wire) Queue(ticket uint32, to fanout.Conn, b []byte) {
	w.queue = append(w.queue, queued{ticket, int(to.Slot), b})
}

func (w *wire) Flush(report fanout.Report) {
	for _, q := range w.queue {
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(w.sockets[q.slot].out), uintptr(unsafe.Pointer(&q.b[0])), uintptr(len(q.b)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if e != 0 || int(n) != len(q.b) {
			panic(fmt.Sprintf("%d of %d bytes: %v", n, len(q.b), e))
		}
		w.sent = append(w.sent, q.slot)
		report(q.ticket, int(n), false, nil)
	}
	w.queue = w.queue[:0]
}

// drain reads what was sent.
func (w *wire) drain() {
	for _, slot := range w.sent {
		for {
			n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(w.sockets[slot].in), uintptr(unsafe.Pointer(&w.trash)), uintptr(len(w.trash)), syscall.MSG_DONTWAIT, 0, 0)
			if e != 0 || n < uintptr(len(w.trash)) {
				break
			}
		}
	}
	w.sent = w.sent[:0]
}
