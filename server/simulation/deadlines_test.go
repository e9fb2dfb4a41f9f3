package simulation_test

import (
	"time"

	"peal/loop"
)

// Deadlines of streams, and what the front does on them when nobody has asked for
// anything: it writes, ends them, and sets the next deadline.

// codeUnauthorized is what the front ends streams with here.
const codeUnauthorized = 4401

// note is a frame that means nothing to a client: a pong without a ping. neverNote must
// not come.
const (
	note      = "a note of the front"
	neverNote = "never"
)

// anyDeadline chooses a deadline, 0 for none.
func (w *world) anyDeadline() time.Duration {
	if !w.plan.deadlines || w.finishing || w.own.IntN(3) == 0 {
		return 0
	}
	return time.Duration(1+w.own.IntN(9000)) * time.Millisecond
}

// expectDue notes the deadline of a stream from now on.
func (c *conn) expectDue(d time.Duration) {
	c.due = 0
	if d != 0 {
		c.due = c.socket.m.now() + d
	}
}

// judgeDue checks that a deadline is over, and does something.
func (w *world) judgeDue(c *conn, client loop.Client) {
	switch {
	case c == nil || client.Session() != c.session:
		w.fail("a deadline of session %d, which is not connected", client.Session()&0xFFFF)
		return
	case c.due == 0:
		w.fail("%s: a deadline is over, though it has none", c)
	case w.machine.now() < c.due:
		w.fail("%s: its deadline is called over %v before its time", c, c.due-w.machine.now())
	}
	w.counts[deadlines]++
	c.due = 0
	w.act(c, client)
}

// act does something on a stream.
func (w *world) act(c *conn, client loop.Client) {
	w.readConn(c)
	if w.finishing {
		return
	}
	switch n := w.own.IntN(8); {
	case n == 0:
		w.note("the front ends %s", c)
		c.expected = codeUnauthorized
		c.shallEnd()
		client.Close(codeUnauthorized, "token_expired: the simulation has chosen it")
		w.counts[closings]++
		w.write(c, client, neverNote)
		client.Close(codeGap, "only once")
		client.SetDeadline(time.Second)
		c.due = 0
		return
	case n < 4:
		w.write(c, client, note)
	}
	if d := w.anyDeadline(); d > 0 || w.own.IntN(4) == 0 {
		client.SetDeadline(d)
		c.expectDue(d)
	}
}

// write writes a note.
func (w *world) write(c *conn, client loop.Client, text string) {
	if c.becomes.isEvents() {
		b := []byte(":" + text + "\n")
		if w.isPacked(c) {
			b = stored(b)
		}
		client.Write(b)
		return
	}
	if text == note {
		c.notes++
	}
	client.Write(append([]byte{0x8A, byte(len(text))}, text...))
}

// visit has something done on a stream from elsewhere. The connection may have ended
// when the loop comes to that.
func (w *world) visit() {
	if !w.plan.deadlines || w.own.IntN(6) > 0 {
		return
	}
	w.visitLate()
	n := len(w.clients)
	if n == 0 {
		return
	}
	c := w.clients[w.own.IntN(n)].conn
	if c == nil || c.stream == (loop.Ref{}) {
		return
	}
	c.visits++
	g := w.group
	g.Do(c.stream, func(client loop.Client) {
		switch {
		case w.group != g || w.conns[client.Peer()] != c || client.Session() != c.session:
			w.fail("%s: another connection is visited for it: session %d", c, client.Session()&0xFFFF)
			return
		case c.ended && !c.halfClosed && c.saidClose == 0:
			w.fail("%s: it is visited behind its good-bye", c)
		}
		w.counts[visited]++
		c.visits--
		if c.saidClose == 0 && !c.halfClosed && !c.socket.wireEnd {
			w.act(c, client)
		}
	})
}

// visitLate has something done on a stream whose connection has ended, as somebody who was
// long about it would. The slot is another's by then, mostly: the latest that was freed is
// the first to be used again.
func (w *world) visitLate() {
	n := len(w.streams)
	if n == 0 {
		return
	}
	c := w.streams[w.own.IntN(n)]
	if !c.socket.closed {
		return
	}
	w.group.Do(c.stream, func(client loop.Client) {
		w.fail("%s: it is closed, and another connection is visited for it: session %d", c, client.Session()&0xFFFF)
	})
}

// checkDue: a loop that sleeps has called what is over, and visited what it was to.
func (w *world) checkDue(c *conn) {
	if c.socket.full || c.toEnd >= 0 || c.left || c.excused || c.ended || c.halfClosed || c.saidClose != 0 || c.socket.reset || c.socket.shut {
		return // it is leaving, or may be: it has not read all yet
	}
	if c.due != 0 && w.machine.now() > c.due+2*tick {
		w.fail("%s: its deadline was over %v ago, and the front was not called", c, w.machine.now()-c.due)
	}
	if c.visits > 0 {
		w.fail("%s: it was not visited", c)
	}
	if c.notes > 0 {
		w.fail("%s: what the front has written did not come", c)
	}
}
