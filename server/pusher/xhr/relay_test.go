package xhr

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/refusal"
)

// clients are the connections behind a door, by the slots of their refs.
type clients struct {
	mu    sync.Mutex
	got   map[uint32]string // what was sent
	ended map[uint32]bool   // closed by the server
	full  map[uint32]int    // how often its socket has no room
}

func newClients() *clients {
	return &clients{got: map[uint32]string{}, ended: map[uint32]bool{}, full: map[uint32]int{}}
}

func (c *clients) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *clients) Answer(ref loop.Ref, out []byte) {
	c.change(func() { c.got[ref.Slot] += string(out) })
}
func (c *clients) Do(ref loop.Ref, f func(loop.Client)) { f(client{c: c, slot: ref.Slot}) }

type client struct {
	loop.Client
	c    *clients
	slot uint32
}

func (k client) Ask() (room bool) {
	k.c.change(func() {
		if room = k.c.full[k.slot] == 0; !room {
			k.c.full[k.slot]--
		}
	})
	return room
}
func (k client) Close(uint16, string) { k.c.change(func() { k.c.ended[k.slot] = true }) }

// until waits until ok, which may look at all.
func (c *clients) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// world is a table with its clients, and the sockets of the streams.
type world struct {
	*clients
	t       *testing.T
	table   *Sessions
	streams map[Name]*os.File
	last    uint32 // slot
}

func newWorld(t *testing.T, l Limits) *world {
	w := &world{clients: newClients(), t: t, streams: map[Name]*os.File{}}
	w.table = NewSessions(l, w.clients)
	t.Cleanup(w.table.Close)
	return w
}

// receiver is a new one, on a connection of its own.
func (w *world) receiver(poll bool) *Receiver {
	w.last++
	r := &Receiver{Number: uint64(w.last), Ref: loop.Ref{Slot: w.last}}
	if poll {
		r.Respond = func(lines []byte) []byte { return []byte("response:" + string(lines)) }
	}
	return r
}

func (w *world) open(name Name, r *Receiver) (taken bool, _ *refusal.Error) {
	return w.table.Open(name, "", 7, r, func(s *Session, socket int) {
		f := os.NewFile(uintptr(socket), "stream")
		s.Begun(loop.Ref{Slot: 1000}, nil)
		w.t.Cleanup(func() { _ = f.Close() })
		w.streams[name] = f
	})
}

func (w *world) begin(name Name, poll bool) *Receiver {
	w.t.Helper()
	r := w.receiver(poll)
	if taken, err := w.open(name, r); taken || err != nil {
		w.t.Fatal(taken, err)
	}
	return r
}

// next goes on with a session.
func (w *world) next(name Name, poll bool) *Receiver {
	w.t.Helper()
	s, r := w.table.Find(name, ""), w.receiver(poll)
	if s == nil || !w.table.Receive(s, r) {
		w.t.Fatalf("%s receives nothing", name)
	}
	return r
}

func (w *world) write(name Name, lines string) {
	w.t.Helper()
	if _, err := w.streams[name].WriteString(lines); err != nil {
		w.t.Error(err)
	}
}

func (w *world) wants(r *Receiver, want string) {
	w.t.Helper()
	got := ""
	w.until(w.t, want, func() bool { got = w.got[r.Ref.Slot]; return len(got) >= len(want) })
	if got != want {
		w.t.Fatalf("%q, want %q", got, want)
	}
}

func (w *world) ends(name Name) {
	w.t.Helper()
	w.until(w.t, "the end of the session", func() bool { return w.table.Find(name, "") == nil })
	if _, err := w.streams[name].WriteString("x\n"); err == nil {
		w.t.Error("its stream is open")
	}
}

func TestWhatIsTakenOfLines(t *testing.T) {
	long := strings.Repeat("x", pieceBytes) + "\n"
	for _, c := range []struct {
		lines            string
		room             int
		bytes, character int
	}{
		{"", 9, 0, 0}, {"a\n", 0, 2, 2}, {"a\n", -1, 0, 0}, {"a\nb\n", 1, 2, 2}, {"a\nb\n", 2, 4, 4}, {"a\nb\nc\n", 3, 4, 4},
		{"ü\nb\n", 2, 5, 4}, {"€\n😀\nx\n", 4, 9, 5}, {long + "a\n", 1 << 20, len(long), len(long)}, {"a\n" + long, 1 << 20, 2, 2},
	} {
		if n, characters := take([]byte(c.lines), c.room); n != c.bytes || characters != c.character {
			t.Errorf("%.10q with room for %d: %d bytes, %d characters; want %d, %d", c.lines, c.room, n, characters, c.bytes, c.character)
		}
	}
}

// What pusher-js does: it asks for the next response when it has more than 256 Ki characters, all of them
// in whole lines, and loses what it has not seen of the one before.
func TestAStreamGoesOnWithoutLoss(t *testing.T) {
	w := newWorld(t, Limits{})
	const lines, name = 5000, Name("k/1/aaaaaaaa/")
	text := func(i int) string {
		return fmt.Sprintf("a[\"%d %s\"]\n", i, strings.Repeat([]string{"x", "ü", "€", "😀"}[i%4], 60+i%97))
	}
	r := w.begin(name, false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range lines {
			w.write(name, text(i))
		}
	}()
	var all strings.Builder
	for responses := 1; ; responses++ {
		w.change(func() { w.full[r.Ref.Slot] = 1 })
		var got string
		w.until(t, "a response", func() bool {
			got = w.got[r.Ref.Slot]
			return len(got) > StreamBytes && count([]byte(got)) > StreamBytes || strings.Contains(got, text(lines-1))
		})
		if before := got[:strings.LastIndexByte(got[:len(got)-1], '\n')+1]; count([]byte(before)) > StreamBytes {
			t.Fatalf("response %d goes on behind the line that exceeds the limit", responses)
		}
		if all.WriteString(got); strings.Contains(got, text(lines-1)) {
			if responses < 3 {
				t.Errorf("%d responses", responses)
			}
			break
		}
		before := r
		w.until(t, "the next one", func() bool { return w.table.mustReceive(w.table.Find(name, "")) })
		r = w.next(name, false)
		w.change(func() {
			if !w.ended[before.Ref.Slot] {
				t.Error("the response before is still open")
			}
		})
		w.table.Lost(before.Number) // it must not end the session
	}
	<-done
	want := Opened
	for i := range lines {
		want += text(i)
	}
	if all.String() != want {
		t.Error("the lines are not those that were written")
	}
}

// mustReceive reports whether the session has no receiver.
func (t *Sessions) mustReceive(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to == nil
}

func TestPollsHaveAllLinesInOrder(t *testing.T) {
	w := newWorld(t, Limits{})
	const name = Name("k/1/aaaaaaaa/")
	r := w.begin(name, true)
	w.write(name, "a[")
	w.write(name, "\"1\"]\na[\"2\"]\n")
	w.wants(r, "response:o\na[\"1\"]\na[\"2\"]\n")
	w.write(name, "a[\"3\"]\n") // while nobody receives
	w.table.Lost(r.Number)      // the connection ends behind its response
	r = w.next(name, true)
	w.wants(r, "response:a[\"3\"]\n")
	r = w.next(name, true)
	w.table.Lost(r.Number) // the connection ends before its response
	w.write(name, "a[\"4\"]\n")
	r = w.next(name, true)
	w.wants(r, "response:a[\"4\"]\n")

	// A client that has ended its side is gone, though its connection is there.
	r = w.next(name, true)
	w.table.Ended(r.Number)
	w.wants(r, "response:a[]\n")
	w.table.Ended(r.Number)
	w.write(name, "a[\"more\"]\n")
	again := w.next(name, true)
	w.wants(again, "response:a[\"more\"]\n")
	w.table.Ended(again.Number)
	w.wants(again, "response:a[\"more\"]\n")

	// The end waits for the poll that reads it.
	w.write(name, "a[\"5\"]\nc[4009,\"\"]\n")
	_ = w.streams[name].Close()
	r = w.next(name, true)
	w.wants(r, "response:a[\"5\"]\nc[4009,\"\"]\n")
	w.ends(name)
}

func TestEndsOfSessions(t *testing.T) {
	for what, c := range map[string]struct {
		poll     bool
		patience time.Duration
		do       func(w *world, r *Receiver)
		want     string // behind the first line
		ended    bool   // its connection
	}{
		"the stream is lost":          {do: func(w *world, r *Receiver) { w.table.Lost(r.Number) }, ended: true},
		"nobody receives any more":    {poll: true, patience: time.Millisecond, do: func(*world, *Receiver) {}},
		"the server ends":             {do: func(w *world, _ *Receiver) { w.table.Close() }, ended: true},
		"the server ends under polls": {poll: true, do: func(w *world, _ *Receiver) { w.next("k", true); w.table.Close() }},
		"its stream ends":             {do: func(w *world, _ *Receiver) { _ = w.streams["k"].Close() }, want: lostLine, ended: true},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, Limits{Patience: c.patience})
			r := w.begin("k", c.poll)
			w.write("k", "a[]\n")
			first := "o\na[]\n"
			if c.poll {
				first = "response:" + first
			}
			w.wants(r, first)
			c.do(w, r)
			w.ends("k")
			w.wants(r, first+c.want)
			if c.ended {
				w.until(t, "the end of its connection", func() bool { return w.ended[r.Ref.Slot] || what == "the stream is lost" })
			}
			if what == "the server ends under polls" {
				w.wants(&Receiver{Ref: loop.Ref{Slot: w.last}}, "response:"+lostLine)
			}
			if taken, err := w.open("k", w.receiver(false)); what == "the server ends" && !errors.Is(err, refusal.ErrDraining) || what == "the stream is lost" && (taken || err != nil) {
				t.Errorf("opened anew: %v, %v", taken, err)
			}
		})
	}
}

func TestASessionHasOneReceiver(t *testing.T) {
	w := newWorld(t, Limits{Sessions: 3, PerAddress: 2})
	for _, poll := range []bool{false, true} {
		name := Name(fmt.Sprint("k", poll))
		w.begin(name, poll)
		if w.table.Find(name, "http://evil.example") != nil || w.table.Find(name+"x", "") != nil {
			t.Error("found by another name or origin")
		}
		if s := w.table.Find(name, ""); w.table.Receive(s, w.receiver(poll)) {
			t.Error("received twice at a time")
		}
		if taken, err := w.open(name, w.receiver(poll)); !taken || err != nil {
			t.Errorf("opened twice: %v, %v", taken, err)
		}
	}
	if _, err := w.open("third", w.receiver(false)); err != errAddressFull {
		t.Errorf("a third one of an address: %v", err)
	}
	if w.table.Len() != 2 {
		t.Errorf("%d sessions", w.table.Len())
	}
	w.table.limits.PerAddress = 9
	w.begin("third", false)
	if _, err := w.open("fourth", w.receiver(false)); err != errFull {
		t.Errorf("a fourth one: %v", err)
	}
	w.table.Find("third", "").End()
	w.ends("third")
	w.begin("fourth", false)
}

// descriptors has room for so many.
type descriptors struct {
	room  int
	mu    sync.Mutex
	taken int
}

func (d *descriptors) Reserve() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.taken == d.room {
		return false
	}
	d.taken++
	return true
}

func (d *descriptors) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken--
}

func (d *descriptors) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

// A session takes a descriptor of the server while it is open, and is refused if there is none.
func TestSessionsTakeDescriptors(t *testing.T) {
	d := &descriptors{room: 2}
	w := newWorld(t, Limits{Descriptors: d})
	w.begin("first", false)
	w.begin("second", true)
	if _, err := w.open("third", w.receiver(false)); err != errNoRoom || w.table.Len() != 2 {
		t.Errorf("a third one: %v, %d sessions", err, w.table.Len())
	}
	if taken, err := w.open("first", w.receiver(false)); !taken || err != nil || d.now() != 2 {
		t.Errorf("opened twice: %v, %v, %d descriptors", taken, err, d.now())
	}
	w.table.Find("first", "").End()
	w.ends("first")
	w.begin("third", false)
	w.table.Close()
	if n := d.now(); n != 0 {
		t.Errorf("%d descriptors are still counted", n)
	}
}

func TestMessagesThatWaitAreLimited(t *testing.T) {
	s := &Session{}
	if !s.Enter(63, 1) || s.Enter(2, 1) || !s.Enter(1, 1) {
		t.Error("64 messages are not the limit")
	}
	s.Done(2)
	if s.Enter(2, 1) || !s.Enter(1, 1) {
		t.Error("what has come is still counted, or what was refused is")
	}
	s = &Session{}
	if !s.Enter(1, maxWaitingBytes+1) || s.Enter(1, 1) {
		t.Error("the bytes have no limit, or a large message is refused though none waits")
	}
	if s.Done(maxWaitingBytes + 1); !s.Enter(1, 1) {
		t.Error("bytes that have come are still counted")
	}
}

func TestLinesOfAllKindsAreCounted(t *testing.T) {
	line := AppendLines(nil, frame.AppendMessage(nil, false, []byte("{\"a\":\"ü€😀\u2028\"}")))
	if got, want := count(line), len(utf16.Encode([]rune(string(line)))); got != want {
		t.Errorf("%q has %d characters, want %d", line, got, want)
	}
	if !slices.Contains(line, '\n') {
		t.Error("no end")
	}
}
