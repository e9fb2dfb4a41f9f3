package simulation_test

import (
	"bytes"
	"strings"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/server/httpapi"
)

// watch stands between a loop and its front. It sees what the loop hands on, which
// must be what clients have sent, whole and in order; and it opens the account of
// each subscription at the moment in which the server takes it.
type watch struct {
	w    *world
	loop int
	next *httpapi.Front
}

var _ loop.Front = (*watch)(nil)

func (f *watch) Request(call *loop.Call) {
	w := f.w
	c := w.conns[call.Peer]
	if c == nil {
		w.fail("a request of %v, from where nobody is connected", call.Peer)
	}
	c.loop = f.loop
	w.identifies(c, call.Session)
	if call.Refusal.Reason != admit.None {
		f.turnAway(c, call)
		return
	}
	w.judgeServed(c)
	if w.letWait(c, call) {
		return
	}
	before, refusable := call.In, call.Ended || call.Late
	f.next.Request(call)
	if call.Verdict == loop.More || w.failure != "" {
		return
	}
	w.readConn(c)
	x := c.firstUnbegun()
	if x == nil || !bytes.Equal(before[:call.Used], x.wire) {
		if !refusable { // for not being whole
			w.fail("%s: the loop hands on %.300q, which is not what the client has sent next", c, before[:call.Used])
		}
		return
	}
	w.judgeTurn(c, x)
	x.begun, x.verdict, x.parked = true, call.Verdict, w.machine.now()
	w.judgeTrespass(c, x)
	switch call.Verdict {
	case loop.Stream, loop.Park:
		s := call.Sub
		if s.From == fanout.After && s.Sequence > w.group.StatsOf(f.loop).Applied {
			w.counts[ahead]++
		}
		a := x.ask
		if a.transport == commands {
			c.talk = &talk{channels: append([]string(nil), a.channels...)}
		}
		if call.Verdict == loop.Stream {
			s.Deadline, c.stream, c.becomes = w.anyDeadline(), call.Conn, a.transport
			c.expectDue(s.Deadline)
			w.streams = append(w.streams, c)
		}
		if a.transport == pusherSocket { // on no channel yet
			c.talk = &talk{ended: map[string]uint64{}}
			c.client.session = w.sessionOf(c, x)
			return
		}
		h := w.subscribed(c, x, a.channels, a.start, &hearing{mute: a.transport == webSocket && !a.json, ignoring: a.ignoring})
		if h.mute && h.gapAhead {
			c.shallEnd() // its cursor means nothing, and it has no word for that
		}
	}
}

// judgeServed: no more connections are served at a time than there may be.
func (w *world) judgeServed(c *conn) {
	c.served = true
	n := 0
	for _, other := range w.conns {
		if other.served && !other.socket.closed {
			n++
		}
	}
	if most := w.plan.loop.MaxConnections; n > most && !w.finishing {
		w.fail("%s: %d connections are served, at most %d may be", c, n, most)
	}
}

// turnAway judges the refusal of a connection. What it does afterwards is its end only.
func (f *watch) turnAway(c *conn, call *loop.Call) {
	w := f.w
	if call.Refusal.Reason != admit.Full || !c.scarce {
		w.fail("%s: an honest client is refused: %s", c, call.Refusal.Reason)
	}
	f.next.Request(call)
	if call.Verdict == loop.More || w.failure != "" {
		return
	}
	w.readConn(c)
	x := c.firstUnbegun()
	if call.Verdict != loop.ReplyClose || x == nil {
		w.fail("%s: refused with verdict %d", c, call.Verdict)
		return
	}
	want := "HTTP/1.1 503 "
	switch {
	case x.number > 0:
	case x.ask.transport == poll:
		want = "HTTP/1.1 429 "
	case x.ask.transport.isEvents():
		want = "HTTP/1.1 200 "
	default:
		want = "HTTP/1.1 101 "
	}
	if !strings.HasPrefix(string(call.Out), want) && !call.Ended && !call.Late {
		w.fail("%s: %.40q is refused with %.60q, want %q", c, x.wire, call.Out, want)
	}
	w.counts[turnedAway]++
	c.unlucky()
	c.turned = true
}

// judgeTurn: a request has to wait until the response to the one before, if that
// came late, has left to its end.
func (w *world) judgeTurn(c *conn, x *exchange) {
	for _, earlier := range c.exchanges {
		if earlier == x {
			return
		}
		if (earlier.verdict == loop.Later || earlier.verdict == loop.Park) && !c.left && !c.over {
			w.fail("%s: %.40q is handled before the response to %.40q has left", c, x.wire, earlier.wire)
			return
		}
	}
}

func (c *conn) firstUnbegun() *exchange {
	for _, x := range c.exchanges {
		if !x.begun {
			return x
		}
	}
	return nil
}

func (f *watch) Open(client loop.Client, s *loop.Subscription) { f.next.Open(client, s) }

func (f *watch) Message(client loop.Client, binary bool, payload []byte) (code uint16, reason string) {
	w := f.w
	c := w.conns[client.Peer()]
	if len(c.said) == 0 || c.said[0].binary != binary || !bytes.Equal(c.said[0].payload, payload) {
		w.fail("%s: the loop hands on the message %.60q, which is not what the client has said next", c, payload)
		return 0, ""
	}
	said := c.said[0]
	c.said = c.said[1:]
	if p := said.pending; p != nil {
		w.readConn(c)
		p.handled = true
		switch {
		case c.left:
		case p.command == "unsubscribe" && c.transport() == pusherSocket:
			w.leaves(c, p.channels[0])
		case p.command == "subscribe" && !p.refused:
			p.hearing = w.subscribed(c, c.current(), p.channels, p.start, &hearing{})
		}
	}
	code, reason = f.next.Message(client, binary, payload)
	if code != 0 {
		c.expected = code
		c.shallEnd()
		if said.pending != nil {
			w.fail("%s: %s is answered by close %d: %s", c, payload, code, reason)
		}
		if code == codeTryAgain {
			w.counts[refused]++
		}
	}
	return code, reason
}

func (f *watch) Due(client loop.Client) { f.w.judgeDue(f.w.conns[client.Peer()], client) }

func (f *watch) Left(session uint64) { f.next.Left(session) }

// Export, Read and Import are of loop.Mover.
func (f *watch) Export(session uint64, dst []byte) ([]byte, bool) { return f.next.Export(session, dst) }

func (f *watch) Mark(session uint64) any            { return f.next.Mark(session) }
func (f *watch) Same(session uint64, mark any) bool { return f.next.Same(session, mark) }
func (f *watch) Read(data []byte) (any, error)      { return f.next.Read(data) }

func (f *watch) Import(client loop.Client, moved any) error {
	if err := f.next.Import(client, moved); err != nil {
		return err
	}
	f.w.adopts(f.loop, client)
	return nil
}

// identifies notes the session number of a connection, which is its own.
func (w *world) identifies(c *conn, session uint64) {
	switch other := w.numbers[session]; {
	case other == nil && c.session == 0:
		c.session, w.numbers[session] = session, c
	case other != c:
		w.fail("%s has the session number %d, which another connection has or had", c, session)
	}
}

// Close codes that clients may be sent.
const (
	codeGoingAway    = 1001
	codeTryAgain     = 1013
	codeGap          = 4409
	codeDisconnected = 4410
)
