package simulation_test

import (
	"fmt"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// station is one loop: the real fan-out and the real reader of the ring, with
// made-up sockets. What package loop does between them and the front is done
// here in the same order: loop/request.go, events.go and timers.go.
type station struct {
	w      *world
	number uint16
	reader *ring.Reader
	fan    *fanout.Fan
	sender *sender
	conns  []*conn // by slot
	free   []uint32
	batch  []*ring.Message
}

// conn is one connection: what the loop knows of it, and its far end.
type conn struct {
	client  *client
	station *station
	slot    uint32
	session uint64
	socket  *socket
	state   connState
	// Of the last request.
	encoding  ring.Encoding
	answering bool // it waits for its answer to leave
	waiting   *ask // sent before that

	// The far end.
	transport transport
	decoder   decoder
	hears     []*hearing // its subscriptions: one, several of peal.v1, none between polls
	talk      *talk      // of peal.v1
	stalled   bool       // its socket was full at least once
	ended     bool       // the server has said good-bye
	touched   bool       // something arrived in this step
}

type connState uint8

const (
	stateHTTP connState = iota
	stateParked
	stateStream
	stateClosing
	stateGone
)

func (c *conn) String() string {
	return fmt.Sprintf("%s (session %d, encoding %d)", c.client.name, c.session, c.encoding)
}

func (c *conn) ref() loop.Ref {
	return loop.Ref{Loop: c.station.number, Slot: c.slot, Generation: uint32(c.session)}
}

// hearing is the subscription that has the channel, nil if there is none.
func (c *conn) hearing(channel string) *hearing {
	for _, h := range c.hears {
		if h.account(channel) != nil {
			return h
		}
	}
	return nil
}

// only is the subscription of a connection that has one for life, nil for none.
func (c *conn) only() *hearing {
	if len(c.hears) == 0 {
		return nil
	}
	return c.hears[0]
}

func newStation(w *world, n int) *station {
	s := &station{w: w, number: uint16(n), reader: w.ring.Reader()}
	s.sender = &sender{fail: w.fail, rnd: w.rnd, late: w.plan.late, sockets: map[fanout.Conn]*socket{}}
	s.fan = fanout.New(s.reader.Applied(), w.plan.fan, w.encoder, w.source, s.sender, s)
	s.fan.UsePolicy(w.plan.policy)
	return s
}

func (s *station) apply(most int) {
	s.batch = s.reader.Next(s.batch[:0], most, 1<<30)
	s.fan.Apply(s.batch)
	clear(s.batch)
}

// flush lets the fan work, and checks that nobody is left behind when it says
// that there is nothing more to do.
func (s *station) flush(budget int) (more bool) {
	more = s.fan.Flush(budget)
	s.w.read()
	if !more && len(s.sender.queue) == 0 {
		s.checkIdle()
	}
	return more
}

func (s *station) checkIdle() {
	for _, c := range s.conns {
		if c == nil || c.socket.full || c.socket.dead || c.state == stateClosing || c.answering {
			continue
		}
		for _, h := range c.hears {
			if x := s.w.oracle.missing(h, s.fan.Applied()); x != nil {
				s.w.fail("%s at %d: the loop has nothing to do, but %d on %s did not come", c, h.position, x.Sequence, x.Channel)
			}
		}
		if !s.fan.CaughtUp(c.slot) {
			s.w.fail("%s: the loop has nothing to do, but it has not caught up", c)
		}
	}
}

// open accepts a connection of client.
func (s *station) open(client *client) *conn {
	w := s.w
	w.sessions++
	c := &conn{client: client, station: s, session: w.sessions}
	c.socket = &socket{conn: c, room: w.room()}
	if n := len(s.free); n > 0 {
		c.slot, s.free = s.free[n-1], s.free[:n-1]
		s.conns[c.slot] = c
	} else {
		c.slot = uint32(len(s.conns))
		s.conns = append(s.conns, c)
	}
	name := fanout.Conn{Slot: c.slot, Generation: uint32(c.session)}
	s.sender.sockets[name] = c.socket
	s.fan.Attach(name, c.session)
	client.conn = c
	return c
}

// close is the loop's end of a connection.
func (s *station) close(c *conn) {
	if c.state == stateGone {
		return
	}
	s.fan.Detach(c.slot)
	c.gone()
	s.conns[c.slot] = nil
	s.free = append(s.free, c.slot)
}

// gone is the client's end of it.
func (c *conn) gone() {
	c.client.w.readConn(c)
	c.state = stateGone
	c.socket.dead = true
	c.client.conn = nil
}

// send takes a request of the client.
func (s *station) send(c *conn, a ask) {
	if c.state != stateHTTP || c.answering {
		c.waiting = &a
		return
	}
	w := s.w
	w.readConn(c) // the end of the answer before
	c.transport, c.decoder = a.transport, a.decoder()
	c.hears, c.talk, c.stalled = nil, nil, false
	w.subscribed(c, a.channels, a.start, &hearing{mute: a.transport == webSocket && !a.json, ignoring: a.ignoring})
	call := loop.Call{In: a.head(), Conn: c.ref()}
	w.front.Request(&call)
	if call.Used != len(call.In) {
		w.fail("%s: %d bytes used of %q", c, call.Used, call.In)
		return
	}
	switch call.Verdict {
	case loop.Stream:
		if call.Sub.Commands {
			s.startCommands(c, call.Sub, call.Out)
			return
		}
		call.Out = s.startStream(c, call.Sub, call.Out)
	case loop.Park:
		s.park(c, call.Sub)
	default:
		w.fail("%s: verdict %d on %s: %s", c, call.Verdict, a, call.Out)
	}
	if len(call.Out) > 0 {
		done, err := s.fan.WriteAnswer(c.slot, call.Out)
		if err != nil {
			s.close(c)
			return
		}
		c.answering = !done
	}
}

// startStream does what loop.startStream does.
func (s *station) startStream(c *conn, sub *loop.Subscription, out []byte) []byte {
	position := s.subscribe(c, sub, false)
	c.state = stateStream
	if sub.From == fanout.Foreign {
		if s.w.bug.opensFirst {
			out = s.w.encoder.AppendOpen(out, sub.Dialect, position, sub.Known && sub.From == fanout.After)
		}
		var told bool
		if out, told = s.fan.AppendForeign(out, sub.Dialect, sub.Channels, position); !told && !sub.IgnoreGap {
			s.fan.Unsubscribe(c.slot)
			c.state = stateClosing
			return s.w.encoder.AppendClose(out, sub.Dialect, closeGap, "gap")
		}
	}
	return s.w.encoder.AppendOpen(out, sub.Dialect, position, sub.Known && sub.From == fanout.After)
}

// Loop's codes for a gap on a stream that has no word for it, and for one of a
// slow consumer whose channel ends it then.
const (
	closeGap      = 4409
	closeTryAgain = 1013
)

// park does what loop.park does.
func (s *station) park(c *conn, sub *loop.Subscription) {
	s.subscribe(c, sub, true)
	c.state = stateParked
}

func (s *station) subscribe(c *conn, sub *loop.Subscription, oneShot bool) (position uint64) {
	f := sub.Subscription
	f.OneShot = oneShot
	early := f.From == fanout.After && f.Sequence > s.fan.Applied()
	if early && s.w.bug.repeatsAhead {
		f.Sequence = s.fan.Applied()
	}
	c.encoding = sub.Dialect
	position, err := s.fan.Subscribe(c.slot, &f)
	if err != nil {
		s.w.fail("%s: subscribe: %v", c, err)
	}
	if early {
		s.w.counts[ahead]++
		return sub.Sequence
	}
	return position
}

// heartbeat does what loop.heartbeat does.
func (s *station) heartbeat(c *conn) {
	if c.state != stateStream || !s.fan.CaughtUp(c.slot) && !s.w.bug.beatsWhenBehind {
		return
	}
	b := s.w.encoder.AppendHeartbeat(nil, c.encoding, s.fan.Position(c.slot))
	if _, err := s.fan.Write(c.slot, b); err != nil {
		s.close(c)
	}
	for i := range b {
		b[i] = '!' // it was lent
	}
}

// expire does what loop.expire does to a poll.
func (s *station) expire(c *conn) {
	if c.state == stateParked && !s.fan.Expire(c.slot) && s.fan.Stalled(c.slot) {
		s.close(c)
	}
}

// writable tells the loop that the socket has room again.
func (s *station) writable(c *conn) {
	if c.socket.full && c.socket.room > 0 {
		c.socket.full = false
		s.fan.Writable(c.slot)
	}
}

// Lost, Idle, Answered, Gapped, Fell and Slow make station a fanout.Events.
func (s *station) Lost(slot uint32, _ error) { s.close(s.conns[slot]) }

func (s *station) Idle(slot uint32) {
	c := s.conns[slot]
	c.answering = false
	if a := c.waiting; a != nil && c.state == stateHTTP {
		c.waiting = nil
		s.send(c, *a)
	}
}

func (s *station) Answered(slot uint32, session uint64) {
	c := s.conns[slot]
	if c.session != session {
		s.w.fail("%s: answered as session %d", c, session)
	}
	c.state, c.answering = stateHTTP, true
}

func (s *station) Gapped(slot uint32) { s.closeStream(slot, closeGap) }

func (s *station) Fell(slot uint32) {
	s.w.counts[fell]++
	s.closeStream(slot, closeTryAgain)
}

// closeStream does what loop.closeStream does.
func (s *station) closeStream(slot uint32, code uint16) {
	c := s.conns[slot]
	s.fan.Revive(slot)
	s.fan.Unsubscribe(slot)
	c.state = stateClosing
	b := s.w.encoder.AppendClose(nil, c.encoding, code, "reason")
	if _, err := s.fan.Write(slot, b); err != nil {
		s.close(c)
	}
}

func (s *station) Slow(slot uint32) {
	s.w.counts[slow]++
	s.close(s.conns[slot])
}
