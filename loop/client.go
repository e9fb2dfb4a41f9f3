package loop

import (
	"net/netip"
	"time"

	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
)

// client implements Client for the connection that the front is called about.
type client struct {
	loop *Loop
	slot uint32
}

var _ Client = (*client)(nil)

func (k *client) conn() *conn { return k.loop.conn(k.slot) }

func (k *client) Ref() Ref {
	return Ref{Loop: k.loop.number, Slot: k.slot, Generation: k.conn().generation}
}
func (k *client) Session() uint64        { return k.conn().session }
func (k *client) Peer() netip.AddrPort   { return k.loop.peer(k.slot).addrPort() }
func (k *client) Dialect() ring.Encoding { return k.conn().dialect }

func (k *client) PublishTo() string {
	if k.conn().flags&flagPublishes == 0 {
		return ""
	}
	return k.loop.fan.FirstChannel(k.slot)
}

func (k *client) Channels(dst []string) []string { return k.loop.fan.Channels(dst, k.slot) }

func (k *client) Subscribe(s *Subscription) (start uint64) {
	c := k.conn()
	if !c.isOpen() {
		return 0 // as in Write: nothing of the reply is sent either
	}
	c.name(s)
	before := k.loop.coverage(k.slot)
	start = k.loop.fan.Add(k.slot, &s.Subscription)
	k.loop.joined(k.slot, s, start, before)
	k.loop.countChannels()
	if s.From == fanout.Foreign {
		k.tellForeign(s, start)
	}
	return start
}

// tellForeign writes in one piece that the cursor of s means nothing here.
func (k *client) tellForeign(s *Subscription, start uint64) {
	k.loop.noteGap(gapNote{session: k.Session(), to: start, tick: k.loop.tick, reason: GapUnknown})
	notices, told := k.loop.foreign(k.loop.scratch[:0], s, start)
	k.loop.scratch = notices
	if !told {
		k.loop.closeStream(k.slot, k.conn(), frame.CloseGap, gapReason)
		return
	}
	k.Write(notices)
}

func (k *client) Unsubscribe(channels []string) {
	k.loop.dropped(k.slot, channels)
	k.loop.fan.Drop(k.slot, channels)
}

func (k *client) Position() (sequence uint64, ok bool) {
	return k.loop.fan.Position(k.slot), k.loop.fan.CaughtUp(k.slot)
}

func (k *client) Write(b []byte) {
	c := k.conn()
	if !c.isOpen() {
		return // it was closed, by an earlier Write perhaps
	}
	k.loop.spend(len(b) / workOut)
	k.loop.reply(k.slot, c, b)
}

func (k *client) Close(code uint16, reason string) {
	c := k.conn()
	switch {
	case !c.isOpen():
	case c.flags&flagFarewell != 0:
		k.loop.part(k.slot, c) // it leaves anyway, with a good-bye of its own
	default:
		k.loop.closeStream(k.slot, c, code, reason)
	}
}

func (k *client) SetDeadline(d time.Duration) {
	if c := k.conn(); c.isOpen() && c.flags&flagFarewell == 0 { // else it is leaving
		k.loop.setDeadline(k.slot, d)
	}
}

func (k *client) Spend(units int) { k.loop.spend(units) }

func (k *client) Owe() { k.conn().late++ }

func (k *client) Unowe() { k.conn().late = max(k.conn().late, 1) - 1 }

func (k *client) Hold() { k.conn().late += maxLate }

func (k *client) Release() { k.conn().late = max(k.conn().late, maxLate) - maxLate }

func (k *client) Leaving() bool { return k.conn().flags&flagFarewell != 0 }

func (k *client) Ask() bool {
	c := k.conn()
	if c.flags&flagAsking != 0 || !k.loop.uncorked(c) || k.loop.fan.LaneWaits(k.slot) {
		return false
	}
	c.flags |= flagAsking
	return true
}

func (k *client) Unask() { k.conn().flags &^= flagAsking }

// clientOf makes the loop's client that of slot.
func (l *Loop) clientOf(slot uint32) *client {
	l.client.slot = slot
	return &l.client
}

// startCommands makes the connection one whose messages are commands, which come on other
// connections if it is an event stream. The head in out goes first; then the front says what it has to say.
func (l *Loop) startCommands(slot uint32, c *conn, s *Subscription, out []byte) []byte {
	out = l.sendOut(slot, c, out)
	if c.state == stateFree {
		return out
	}
	if c.state = stateWS; s.Framing == EventStream {
		c.state = stateSSE
	}
	c.flags |= flagCommands
	l.streams(slot, s)
	l.wait(slot, c, l.beat())
	l.setDeadline(slot, s.Deadline)
	l.front.Open(l.clientOf(slot), s)
	return out
}

// replied sends what was prepared elsewhere for a connection with commands.
func (l *Loop) replied(ref Ref, c *conn, frames []byte) {
	waited := l.waits(c)
	if ref.Asked {
		c.flags &^= flagAsking
		if !l.uncorked(c) {
			return
		}
		if _, err := l.fan.WriteAnswer(ref.Slot, frames); err != nil { // one at a time, so it is not under LaneBytes
			l.close(ref.Slot, c)
		}
	} else {
		c.late = max(c.late, 1) - 1
		l.reply(ref.Slot, c, frames) // under LaneBytes: its client may send and not read
	}
	if c.state != stateFree {
		l.settled(ref.Slot, c, waited)
	}
}

// settled goes on with a WebSocket that may be owed less than before. waited says that
// its messages had to wait then.
func (l *Loop) settled(slot uint32, c *conn, waited bool) {
	switch {
	case c.state != stateWS:
	case c.flags&flagFarewell != 0:
		if !l.owed(c) {
			l.part(slot, c)
		}
	case waited && !l.waits(c):
		l.resume(slot, c)
	}
}

// maxLate is how many replies a WebSocket may wait for before more of its messages
// are taken: what is unread waits, and its client's sending with it. 64 replies are
// about 7 KiB, half of LaneBytes: who reads what it is sent is never closed for them.
const maxLate = 64

// message hands what a WebSocket client sent to the front.
func (l *Loop) message(slot uint32, c *conn, binary bool, payload []byte) {
	l.counts.received++
	if l.life.talk != nil {
		l.spoke(slot, c, len(payload))
	}
	if c.flags&(flagPublishes|flagCommands) == 0 {
		l.closeStream(slot, c, frame.CloseForbidden, "this connection may not publish: connect with exactly one channel")
		return
	}
	l.busy()
	code, reason := l.front.Message(l.clientOf(slot), binary, payload)
	l.idle()
	if code != 0 && c.state == stateWS {
		l.closeStream(slot, c, code, reason)
	}
}
