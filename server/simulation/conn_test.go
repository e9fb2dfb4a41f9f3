package simulation_test

import (
	"bytes"
	"fmt"
	"time"

	"peal/loop"
)

// conn is the far end of a connection: what its client has asked for, and what came
// of it.
type conn struct {
	client  *client
	socket  *socket
	loop    int    // that has it, -1 until it calls the front
	session uint64 // likewise 0

	exchanges []*exchange // not answered to the end, the oldest first
	talk      *talk       // of peal.v1
	said      []saying    // messages on a WebSocket that the front has not been given
	pings     []string    // not answered
	active    time.Duration
	toEnd     time.Duration // when a reason to end it came first, -1 for none

	halfClosed bool   // it has sent all it will
	saidClose  uint16 // by a close frame with that code
	left       bool   // it reads no more
	ended      bool   // the server has said good-bye
	over       bool   // the end was seen
	dismissed  bool   // the backend has asked for its end
	excused    bool   // the server could not keep it, and has counted that
	served     bool   // a request of it was not refused
	scarce     bool   // it could be refused when it was accepted
	turned     bool   // it was refused: it reads no more, and hangs up when the server has
	pressed    bool   // it may be the one on its loop that was told that its input is too slow, or too much
	expected   uint16 // close code of the front's refusal
	stalled    bool   // its socket was full at least once
	touched    bool   // something arrived in this step

	waiting *waiting      // its request that the front lets wait
	stream  loop.Ref      // of the request that became a stream
	becomes transport     // likewise what it asked for
	due     time.Duration // deadline, 0 for none
	visits  int           // that were asked for, and have not come
	notes   int           // of the front on a WebSocket, that have not come
}

// exchange is one request and all that it causes.
type exchange struct {
	ask     ask // of a subscription
	number  int // of what it publishes, 0 for a subscription
	closes  bool
	wire    []byte
	sent    time.Duration
	decoder decoder

	begun   bool // the front has it
	verdict loop.Verdict
	parked  time.Duration // when the front had it wait, a poll
	opened  bool          // its response has begun
	hears   []*hearing    // its subscriptions: one, several of peal.v1, none of a publication
}

func (x *exchange) isStream() bool { return x.number == 0 && x.ask.transport != poll }

func (c *conn) String() string {
	return fmt.Sprintf("%s (session %d, loop %d)", c.client.name, c.session&0xFFFF, c.loop)
}

// current is the exchange whose response comes next, nil for none.
func (c *conn) current() *exchange {
	if len(c.exchanges) == 0 {
		return nil
	}
	return c.exchanges[0]
}

// transport is that of the exchange under way.
func (c *conn) transport() transport {
	if x := c.current(); x != nil {
		return x.ask.transport
	}
	return transports
}

// hears are the subscriptions of the exchange under way.
func (c *conn) hears() []*hearing {
	if x := c.current(); x != nil {
		return x.hears
	}
	return nil
}

// forget drops the subscriptions of the exchange under way: they have ended.
func (c *conn) forget() {
	if x := c.current(); x != nil {
		x.hears = nil
	}
}

// hearing is the subscription that has the channel, nil if there is none.
func (c *conn) hearing(channel string) *hearing {
	for _, h := range c.hears() {
		if h.account(channel) != nil {
			return h
		}
	}
	return nil
}

// only is the subscription of a connection that has one for life, nil for none.
func (c *conn) only() *hearing {
	if h := c.hears(); len(h) > 0 {
		return h[0]
	}
	return nil
}

// isStream tells whether it has asked to become a stream: no further request may come.
func (c *conn) isStream() bool {
	n := len(c.exchanges)
	return n > 0 && c.exchanges[n-1].isStream()
}

// isWebSocket tells whether it is one, and open.
func (c *conn) isWebSocket() bool {
	x := c.current()
	return x != nil && x.isStream() && x.ask.transport.isSocket() && x.opened && !c.ended
}

// open connects a client.
func (w *world) open(client *client) *conn {
	c := &conn{client: client, loop: -1, active: w.machine.now(), toEnd: -1}
	c.socket = w.machine.connect(c)
	w.conns[c.socket.peer] = c
	if w.bug.proxied {
		c.socket.write(headerOf(c.socket.peer))
	}
	client.conn = c
	return c
}

// write sends b, of which some may be on its way for a while.
func (c *conn) write(b []byte) {
	s, rnd := c.socket, c.client.w.rnd
	s.write(b)
	n := len(s.wire)
	if rnd.IntN(2) == 0 {
		n = rnd.IntN(n + 1)
	}
	s.deliver(n)
}

// request sends a request.
func (w *world) request(c *conn, x *exchange) {
	x.sent = w.machine.now()
	c.exchanges = append(c.exchanges, x)
	c.write(x.wire)
}

// subscribe sends the request for a subscription.
func (w *world) subscribe(c *conn, a ask) {
	w.note("%s asks for %s", c, a)
	w.request(c, &exchange{ask: a, wire: a.head(), decoder: a.decoder(), closes: a.closes})
}

// subscribed opens the account of a subscription as the server is about to see it.
func (w *world) subscribed(c *conn, x *exchange, channels []string, s start, h *hearing) *hearing {
	h.conn, h.session = c, w.sessionOf(c, x)
	if !h.session.IsZero() {
		c.client.session = h.session
	}
	w.oracle.begin(h, channels, s.taken(w))
	x.hears = append(x.hears, h)
	return h
}

// gone is the client's end of it: it looks no more at what comes.
func (c *conn) gone() {
	c.client.w.readConn(c)
	c.left = true
	if c.client.conn == c {
		c.client.conn = nil
	}
}

// hangUp closes the client's side, which has read everything that came.
func (c *conn) hangUp() {
	c.gone()
	c.socket.finish()
	c.socket.deliver(len(c.socket.wire))
	c.socket.gone = true
	if c.socket.full { // what is under way meets nobody
		c.socket.abort()
	}
}

// shallEnd notes that there is a reason to end it.
func (c *conn) shallEnd() {
	if c.toEnd < 0 {
		c.toEnd = c.socket.m.now()
	}
}

// unlucky marks a connection that the machine could not pass to the server.
func (c *conn) unlucky() { c.excused = true }

// touch notes that there is something to see at the far end.
func (w *world) touch(c *conn) {
	if c != nil && !c.touched {
		c.touched = true
		w.touched = append(w.touched, c)
	}
}

// read has the clients read what arrived in this step.
func (w *world) read() {
	for len(w.touched) > 0 {
		c := w.touched[0]
		w.touched = w.touched[1:]
		w.readConn(c)
	}
}

// readConn has one client read what has arrived.
func (w *world) readConn(c *conn) {
	c.touched = false
	s := c.socket
	if c.turned {
		if (s.shut || s.closed) && !c.left {
			c.left = true // before hangUp, which comes back here
			c.hangUp()
		}
		return
	}
	for w.failure == "" && len(s.out) > 0 && !c.left && !c.over {
		it, n, err := c.next(s.out)
		if err != nil {
			w.fail("%s cannot read what it received: %v", c, err)
			return
		}
		if n == 0 {
			break
		}
		s.out = s.out[n:]
		if it.kind != itemNothing {
			w.judge(c, it)
		}
	}
	if w.failure == "" && (s.shut || s.closed) && !c.left && !c.over {
		w.seesEnd(c)
	}
}

// next reads what b, which is all that has arrived, begins with.
func (c *conn) next(b []byte) (it item, n int, err error) {
	x := c.current()
	switch {
	case c.ended: // nothing may come but pongs
		if x != nil && x.isStream() && x.ask.transport.isSocket() {
			it, n, err = x.decoder.next(b)
		}
		if err == nil && (n > 0 && it.kind != itemPong || n == 0 && x == nil) {
			err = fmt.Errorf("after the good-bye: %.60q", b)
		}
		return it, n, err
	case c.socket.kernel == nil, x != nil && !x.opened && isRefusal(b): // the acceptor speaks unasked
		return refusalItem(b)
	case x == nil:
		return item{}, 0, fmt.Errorf("unasked: %.60q", b)
	}
	if !x.opened && len(b) < len("HTTP/1.1 4") {
		return item{}, 0, nil
	}
	it, n, err = x.decoder.next(b)
	x.opened = x.opened || n > 0
	return it, n, err
}

// isRefusal tells whether b begins with a response with an error.
func isRefusal(b []byte) bool {
	return bytes.HasPrefix(b, []byte("HTTP/1.1 4")) || bytes.HasPrefix(b, []byte("HTTP/1.1 5"))
}

// refusalItem reads a response with an error.
func refusalItem(b []byte) (it item, n int, err error) {
	response, body, n, err := readResponse(b)
	if err != nil || n == 0 {
		return item{}, 0, err
	}
	code, err := errorCode(body)
	return item{kind: itemRefused, refusal: code, closes: response.Close}, n, err
}

// seesEnd is the end of the connection at its far end: all that came was read.
func (w *world) seesEnd(c *conn) {
	c.over = true
	w.judgeEnd(c)
	if w.rnd.IntN(4) > 0 || c.socket.closed {
		c.hangUp()
		return
	}
	c.gone() // and leaves its side open
}
