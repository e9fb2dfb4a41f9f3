package httpapi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/session"
	"peal/server/workers"
)

const (
	epoch       = log.Epoch(35) // "z" in a cursor
	formerEpoch = log.Epoch(33) // "x"; its first three entries live on
)

// ids are those of the Front.
var ids = session.New([16]byte{1})

var lineage = log.NewLineage(epoch)

// harness is one Front with everything around it made up.
type harness struct {
	t       testing.TB
	log     *fakeLog
	hub     *fakeHub
	door    *fakeDoor
	workers *workers.Pool
	front   *httpapi.Front
	peer    netip.AddrPort // of all connections
}

func newHarness(t testing.TB) *harness {
	h := &harness{t: t, log: &fakeLog{}, hub: &fakeHub{}, door: &fakeDoor{answers: make(chan []byte, 16), again: make(chan loop.Ref, 10), do: make(chan func(loop.Client), 10)}}
	h.hub.log = h.log
	h.workers = workers.New(2, 4)
	t.Cleanup(h.workers.Close)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Sessions: ids})
	return h
}

// withLog returns a harness of which the Front publishes to another log.
func (h *harness) withLog(l httpapi.Publisher) *harness {
	other := *h
	other.front = httpapi.New(httpapi.Deps{Log: l, Hub: h.hub, Door: h.door, Workers: h.workers})
	return &other
}

// call gives in to the Front as a loop would.
func (h *harness) call(in string) *loop.Call {
	h.t.Helper()
	c := &loop.Call{In: []byte(in), Conn: loop.Ref{Slot: 7, Generation: 1}, Peer: h.peer}
	h.front.Request(c)
	if c.Verdict == loop.More && c.Used != 0 {
		h.t.Errorf("%.40q: More, but %d bytes used", in, c.Used)
	}
	return c
}

// answer returns the response to a whole request, wherever it comes from.
func (h *harness) answer(in string) (*http.Response, string) {
	h.t.Helper()
	c := h.call(in)
	out := c.Out
	switch c.Verdict {
	case loop.Reply, loop.ReplyClose:
	case loop.Later:
		out = h.door.wait(h.t)
	default:
		h.t.Fatalf("%.60q: verdict %d, out %q", in, c.Verdict, c.Out)
	}
	resp, body := readAnswer(h.t, in, out)
	if closing := c.Verdict == loop.ReplyClose || c.Verdict == loop.Later && c.Close; closing != resp.Close {
		h.t.Errorf("%.60q: closing %v, but the head says %v", in, closing, resp.Close)
	}
	return resp, body
}

// readAnswer has net/http, an independent client, take an answer apart. All of
// it must be used.
func readAnswer(t testing.TB, in string, out []byte) (*http.Response, string) {
	t.Helper()
	method, _, _ := strings.Cut(strings.TrimLeft(in, "\r\n"), " ")
	r := bufio.NewReader(bytes.NewReader(out))
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v in %q", in, err, out)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%.60q: %v in %q", in, err, out)
	}
	if r.Buffered() > 0 {
		rest, _ := io.ReadAll(r)
		t.Errorf("%.60q: behind the answer: %q", in, rest)
	}
	return resp, string(body)
}

func get(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }

// post makes a POST; headers are whole lines.
func post(target, body string, headers ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n%s",
		target, len(body), strings.Join(headers, ""), body)
}

// fakeLog numbers entries and keeps them. It may be told to be slow or full.
type fakeLog struct {
	mu      sync.Mutex
	entries []*log.Entry
	full    bool
	closed  bool
	slow    bool // done is not called before release
	broken  bool // the disk
	lose    bool // accepted batches are lost, for this reason
	reason  error
	discard bool // entries are forgotten at once: for measurements
	head    uint64
	waiting []func()
}

func (l *fakeLog) Lineage() *log.Lineage { return lineage }

// Resolve continues one earlier life of three entries.
func (l *fakeLog) Resolve(c log.Cursor) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch c.Epoch {
	case epoch:
		return c.Sequence, c.Sequence <= l.head
	case formerEpoch:
		return c.Sequence, c.Sequence <= 3
	}
	return 0, false
}

func (l *fakeLog) Append(batch []*log.Entry, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.full:
		return log.ErrFull
	case l.closed:
		return log.ErrClosed
	case l.broken:
		return log.ErrStorage
	}
	for _, e := range batch {
		l.head++
		e.Sequence = l.head
		if !l.discard {
			l.entries = append(l.entries, e)
		}
	}
	var err error
	if l.lose {
		if err = l.reason; err == nil {
			err = errors.New("disk on fire")
		}
	}
	if l.slow {
		l.waiting = append(l.waiting, func() { done(err) })
		return nil
	}
	done(err)
	return nil
}

// release lets the accepted batches be done.
func (l *fakeLog) release() {
	l.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}

// take returns what was appended since the last call, a line for each entry.
func (l *fakeLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, e := range l.entries {
		line := fmt.Sprintf("%s: %q", e.Channel, e.Data)
		if e.Binary {
			line += " binary"
		}
		if e.Event != "" {
			line += " event=" + e.Event
		}
		if e.IdempotencyKey != "" {
			line += " key=" + e.IdempotencyKey
		}
		lines = append(lines, line)
	}
	l.entries = nil
	return strings.Join(lines, "\n")
}

// fakeHub has a history of one message for every channel.
type fakeHub struct {
	log      *fakeLog
	messages []*ring.Message
	infos    []hub.Info
	block    chan struct{} // Channels waits for it
}

func (h *fakeHub) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	for _, m := range h.messages {
		if m.Channel == channel && m.Sequence > after && m.Sequence <= upto {
			if len(dst) == count {
				return dst, 3, true
			}
			dst = append(dst, m)
		}
	}
	return dst, 3, false // everything up to 3 was dropped
}

func (h *fakeHub) Newest(channel string, n int) uint64 {
	var of []uint64
	for _, m := range h.messages {
		if m.Channel == channel {
			of = append(of, m.Sequence)
		}
	}
	if len(of) == 0 {
		return h.Head()
	}
	return of[max(0, len(of)-n)] - 1
}

func (*fakeHub) Concerns(_ string, discarded uint64, _ func(*ring.Exclusion) bool) (uint64, bool) {
	return discarded, true
}

func (h *fakeHub) Latest(channel string, after, upto uint64) (*ring.Message, int, uint64) {
	return nil, 0, 3 // asked about slow consumers only, of which there are none here
}

func (h *fakeHub) Join(c string) string { return c }
func (h *fakeHub) Leave(string)         {}
func (h *fakeHub) Head() uint64 {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return h.log.head
}

func (h *fakeHub) Channel(name string) (hub.Info, bool) {
	for _, info := range h.infos {
		if info.Name == name {
			return info, true
		}
	}
	return hub.Info{}, false
}

func (h *fakeHub) Channels(prefix, after string, limit int) (out []hub.Info) {
	if h.block != nil {
		<-h.block
	}
	for _, info := range h.infos {
		if strings.HasPrefix(info.Name, prefix) && info.Name > after && len(out) < limit {
			out = append(out, info)
		}
	}
	return out
}

// fakeDoor keeps the answers that come from other goroutines.
type fakeDoor struct {
	answers chan []byte
	again   chan loop.Ref
	do      chan func(loop.Client)
	asked   atomic.Int32 // answers with Ref.Asked
}

func (d *fakeDoor) Answer(ref loop.Ref, out []byte) {
	if ref.Asked {
		d.asked.Add(1)
		ref.Asked = false
	}
	if ref != (loop.Ref{Slot: 7, Generation: 1}) {
		panic(fmt.Sprintf("answer for %+v", ref))
	}
	d.answers <- out
}

func (d *fakeDoor) Again(ref loop.Ref) { d.again <- ref }

func (d *fakeDoor) Do(_ loop.Ref, f func(loop.Client)) { d.do <- f }

func (d *fakeDoor) wait(t testing.TB) []byte {
	t.Helper()
	select {
	case out := <-d.answers:
		return out
	case <-time.After(time.Minute):
		t.Fatal("no answer came")
		return nil
	}
}
