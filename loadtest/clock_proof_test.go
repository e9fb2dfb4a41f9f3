package loadtest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loadtest/liar"
)

// witness is a subscriber that has nothing in common with the load test but the messages:
// net, bufio, and the kernel's clock.
type witness struct {
	conn net.Conn
	r    *bufio.Reader
	sse  bool
}

func newWitness(t *testing.T, addr string, transport Transport) *witness {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &witness{conn, bufio.NewReader(conn), transport == SSE}
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", transport)
	for line := "x"; line != "\r\n"; {
		if line, err = w.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// next waits for a message, and returns how long it took since its schedule. ok is false
// at the end.
func (w *witness) next() (took time.Duration, ok bool) {
	text := ""
	for text == "" {
		if w.sse {
			line, err := w.r.ReadString('\n')
			if err != nil {
				return 0, false
			}
			text, _ = strings.CutPrefix(strings.TrimSpace(line), "data:")
			if text = strings.TrimSpace(text); !strings.HasPrefix(text, "L") {
				text = ""
			}
			continue
		}
		var head [2]byte
		if _, err := io.ReadFull(w.r, head[:]); err != nil {
			return 0, false
		}
		size := int(head[1])
		if size == 126 {
			_, _ = io.ReadFull(w.r, head[:]) // then the payload fails too
			size = int(binary.BigEndian.Uint16(head[:]))
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(w.r, payload); err != nil {
			return 0, false
		}
		text = string(payload)
	}
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // there is one on every Linux
	scheduled, err := strconv.ParseInt(text[21:37], 16, 64)
	return time.Duration(now.Nano() - scheduled), err == nil
}

// The latency of a message that the server held back lies between what passed until the
// server let it go and what had passed when it was there: so it does for a witness.
// Nothing depends on how fast anything is.
func TestLatencyIsThatOfTheServer(t *testing.T) {
	for name, spec := range lieWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held, release, known := make(chan bool), make(chan bool), ""
			s := liar.StartOdd(t, liar.Oddity{Lie: func(to *liar.Subscriber, _ uint64, message string) {
				if message != known { // the lock holds back the others
					known = message
					held <- true
					<-release
				}
				to.Send(message)
			}})
			spec.Addr, spec.Cursor = s.Addr, "0"
			f, opened := openThree(t, spec)
			if err := opened.Err(); err != nil {
				t.Fatal(err)
			}
			transport := spec.Transport
			if transport == Poll {
				transport = SSE
			}
			w := newWitness(t, s.Addr, transport)
			for run := uint16(1); run <= 5; run++ {
				f.sink.begin(run, lieBytes, false)
				scheduled := Now()
				s.Add(string(AppendMessage(nil, Stamp{Run: run, Sequence: 1, Scheduled: scheduled}, lieBytes)))
				<-held
				least := time.Duration(Now() - scheduled)
				release <- true
				seen, ok := w.next()
				var r Received
				for end := time.Now().Add(30 * time.Second); r.Delivered < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
					r = f.sink.sample()
				}
				most := time.Duration(Now() - scheduled)
				if !ok || seen < least-time.Millisecond || seen > most+time.Millisecond {
					t.Errorf("the witness saw %v, not between %v and %v", seen, least, most)
				}
				first, last := r.Latency.Quantile(0.01), r.Latency.Max() // three digits, and at least 1 µs
				if r.Delivered != 3 || first < least-least/500-time.Microsecond || last > most+most/500+time.Microsecond {
					t.Errorf("%d delivered, after %v to %v, not between %v and %v", r.Delivered, first, last, least, most)
				}
			}
		})
	}
}

// TestClockProof compares the load test's latencies with a witness's, on a server that is
// plain, one that is late and one that stalls. It needs a quiet machine:
//
//	PEAL_PROOF=1 go test -run TestClockProof -count=1 -v ./loadtest
func TestClockProof(t *testing.T) {
	if os.Getenv("PEAL_PROOF") == "" {
		t.Skip("set PEAL_PROOF=1 on a machine that does nothing else")
	}
	for name, hold := range map[string]func(n uint64) time.Duration{
		"plain": func(uint64) time.Duration { return 0 },
		"late":  func(n uint64) time.Duration { return time.Duration(n%10) * time.Millisecond },
		"stall": func(n uint64) time.Duration { return time.Duration(n/200%2*(1-min(n%200, 1))) * time.Second },
	} {
		for _, transport := range []Transport{WebSocket, SSE} {
			t.Run(fmt.Sprintf("%s/%s", name, transport), func(t *testing.T) { prove(t, transport, hold) })
		}
	}
}

func prove(t *testing.T, transport Transport, hold func(n uint64) time.Duration) {
	var until sync.Map // by message, so that both subscribers get it at the same time
	s := liar.StartOdd(t, liar.Oddity{Lie: func(to *liar.Subscriber, n uint64, message string) {
		at, _ := until.LoadOrStore(n, time.Now().Add(hold(n)))
		time.Sleep(time.Until(at.(time.Time)))
		to.Send(message)
	}})
	pool := openPool(t, Spec{Endpoint: Endpoint{Addr: s.Addr}, Transport: transport, Connections: 1})
	defer pool.Close()
	w := newWitness(t, s.Addr, transport)
	seen := make(chan []time.Duration)
	go func() { // ends with the witness' connection
		var all []time.Duration
		for took, ok := w.next(); ok; took, ok = w.next() {
			all = append(all, took)
		}
		seen <- all
	}()
	run, err := pool.Begin(t.Context(), lieBytes, false)
	if err != nil {
		t.Fatal(err)
	}
	const published = 500
	for n, due := uint64(1), Now(); n <= published; n++ { // 100 a second, on a schedule
		due += int64(10 * time.Millisecond)
		time.Sleep(time.Duration(due - Now()))
		s.Add(string(AppendMessage(nil, Stamp{Run: run, Sequence: n, Scheduled: due}, lieBytes)))
	}
	if _, err := pool.Await(t.Context(), []uint64{published}, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	r, err := pool.Report(t.Context(), []uint64{published})
	if err != nil || !r.Clean() {
		t.Fatalf("%+v, %v", r.Counts, err)
	}
	_ = w.conn.Close() // it has the last message, or is found to lack it
	all := <-seen
	if slices.Sort(all); len(all) != published {
		t.Fatalf("the witness has %d messages of %d", len(all), published)
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		load, own := r.Latency.Quantile(q), all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		off := (load - own).Abs()
		t.Logf("p%v: load test %v, witness %v, %v apart", 100*q, load, own, off)
		// The greatest is one event of one process, which the other need not have met.
		if q < 1 && off > max(own/20, time.Millisecond) {
			t.Errorf("p%v: %v apart, more than 5 %% and 1 ms", 100*q, off)
		}
	}
}
