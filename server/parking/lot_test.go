package parking

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/ask"
)

// client is a connection of which the test knows whether it is held.
type client struct {
	loop.Client
	session uint64
	held    int
}

func (c *client) Ref() loop.Ref   { return loop.Ref{Slot: uint32(c.session)} }
func (c *client) Session() uint64 { return c.session }
func (c *client) Hold()           { c.held++ }
func (c *client) Release()        { c.held-- }

// table is a lot whose questions the test answers, and the room of its clients.
type table struct {
	*Lot
	t       *testing.T
	clients map[uint32]*client
	open    []func(*ask.Answer) // questions, in their order
	said    []string            // messages that were carried out
	call    *ask.Call
}

func newTable(t *testing.T) *table {
	x := &table{t: t, clients: map[uint32]*client{}}
	x.Lot = &Lot{Door: x, Asker: x}
	c := ask.New(slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	use, err := c.Prepare([]ask.Definition{{URL: "https://a.example/", Secret: strings.Repeat("s", 24), On: ask.Actions}})
	if err != nil {
		t.Fatal(err)
	}
	use()
	x.call = c.NewCall(&ask.Question{})
	return x
}

func (x *table) Ask(_ *ask.Call, done func(*ask.Answer)) { x.open = append(x.open, done) }

func (x *table) Do(ref loop.Ref, f func(loop.Client)) {
	if c := x.clients[ref.Slot]; c != nil { // else it is closed
		f(c)
	}
}

func (x *table) connect(session uint64) *client {
	c := &client{session: session}
	x.clients[uint32(session)] = c
	return c
}

// message is the room: what begins with ? is asked about.
func (x *table) message(c loop.Client, binary bool, payload []byte) {
	text := string(payload)
	if x.Waits(c.Session()) {
		if !x.Follow(c.Session(), binary, payload) {
			x.said = append(x.said, "refused")
		}
		return
	}
	if strings.HasPrefix(text, "?") && x.Answers() == nil {
		x.Park(c, x.call, x.message, binary, payload)
		return
	}
	x.said = append(x.said, text)
}

func (x *table) says(c *client, texts ...string) {
	for _, text := range texts {
		payload := []byte(text)
		x.message(c, false, payload)
		clear(payload) // it was lent
	}
}

func (x *table) answer() {
	done := x.open[0]
	x.open = x.open[1:]
	done(&ask.Answer{})
}

func (x *table) want(what string, texts ...string) {
	x.t.Helper()
	if !slices.Equal(x.said, texts) {
		x.t.Errorf("%s: carried out %q, want %q", what, x.said, texts)
	}
	x.said = nil
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	x := newTable(t)
	a, b := x.connect(1), x.connect(2)
	x.says(a, "1", "?2", "3", "?4", "?4", "5")
	x.says(b, "other")
	if x.want("while it is asked", "1", "other"); a.held != 1 || b.held != 0 || len(x.open) != 1 {
		t.Errorf("held %d and %d, %d questions", a.held, b.held, len(x.open))
	}
	x.answer()
	x.want("after the first answer", "?2", "3")
	x.answer()
	x.want("equal messages are two questions", "?4")
	x.answer()
	x.want("after the last answer", "?4", "5")
	if a.held != 0 || len(x.sessions) != 0 || x.Waits(1) || x.Answers() != nil {
		t.Errorf("held %d, %d places", a.held, len(x.sessions))
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	x := newTable(t)
	a := x.connect(1)
	x.says(a, "?")
	for i := range mostBehind {
		x.says(a, fmt.Sprint(i))
	}
	x.want("all have room")
	x.says(a, "one more")
	x.want("beyond it", "refused")
	x.answer()
	if len(x.said) != 1+mostBehind {
		t.Errorf("%d messages", len(x.said))
	}
	x.said = nil
	x.says(a, "?", strings.Repeat("x", mostBehindBytes), "x")
	x.want("bytes", "refused")
}

func TestAConnectionThatEndsLeavesNothing(t *testing.T) {
	x := newTable(t)
	x.says(x.connect(1), "?lost")
	delete(x.clients, 1)
	x.Left(1)
	x.says(x.connect(2), "?lost too") // the loop does not tell of its end
	delete(x.clients, 2)
	x.answer()
	x.answer()
	again := x.connect(1)
	x.says(again, "new")
	x.want("of the connection that has the slot now", "new")
	x.sessions[2].since = time.Now().Add(-2 * stalePlace)
	x.sweepAt = 1
	x.says(again, "?")
	if len(x.sessions) != 1 || x.sessions[1] == nil {
		t.Errorf("places of %v", x.sessions)
	}
}

// A message may be asked about once more when it is carried out again: after a reload.
func TestAMessageIsAskedAboutTwice(t *testing.T) {
	x := newTable(t)
	a := x.connect(1)
	twice := true
	var room Room
	room = func(c loop.Client, binary bool, payload []byte) {
		if x.Answers() == nil || twice {
			twice = x.Answers() == nil
			x.Park(c, x.call, room, binary, payload)
			return
		}
		x.said = append(x.said, string(payload))
	}
	room(a, false, []byte("m"))
	x.answer()
	x.want("after the first")
	x.answer()
	if x.want("after the second", "m"); a.held != 0 {
		t.Errorf("held %d", a.held)
	}
}
