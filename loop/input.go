package loop

import (
	"math"
	"unsafe"

	"peal/loop/evict"
	"peal/loop/frame"
)

// Input that waits for more, or for its turn.

// kept is the input of one connection that was read and not used.
type kept struct {
	bytes []byte
	slot  uint32 // whose
	since uint32 // tick in which the first byte of the unfinished request or WebSocket message in it came
	waits uint32 // stateWaiting: since that tick

	partial Partial // of the request
}

func (l *Loop) inputOf(c *conn) []byte { return l.inputs[c.input].bytes } // of 0: none

// keepInput stores b, which may lie in the loop's read buffer, as the
// connection's unused input. need is how many more bytes are wanted, a hint.
// fresh says that b begins with another message than what was kept before.
func (l *Loop) keepInput(slot uint32, c *conn, b []byte, need int, fresh bool) {
	if len(b) == 0 {
		l.dropInput(c)
		return
	}
	if c.input == 0 {
		if n := len(l.freeInputs); n > 0 {
			c.input = l.freeInputs[n-1]
			l.freeInputs = l.freeInputs[:n-1]
		} else {
			c.input = uint32(len(l.inputs))
			l.inputs = append(l.inputs, kept{})
		}
		l.inputs[c.input].slot, fresh = slot, true
	}
	k := &l.inputs[c.input]
	if fresh {
		k.since = l.tick
		if c.state == stateWS {
			l.wheel.Sooner(slot, l.tick+l.headTicks)
		}
	}
	old := k.bytes
	if cap(old) < len(b) || cap(old) > 4*(len(b)+need)+4096 {
		// A client that only announces much is not given much: double at most.
		grown := l.newInput(len(b) + min(need, len(b)+512))
		l.inputBytes += cap(grown) - cap(old)
		k.bytes = append(grown[:0], b...) // before old may be another's: b may lie in it
		l.freeInput(old)
	} else {
		k.bytes = append(old[:0], b...)
	}
}

// keepRest is keepInput for what is left of b that may be the input kept so far.
func (l *Loop) keepRest(slot uint32, c *conn, rest []byte, need int, fresh bool) {
	if c.input != 0 && len(rest) > 0 && unsafe.SliceData(rest) == unsafe.SliceData(l.inputs[c.input].bytes) {
		l.inputs[c.input].bytes = rest // where it was
		return
	}
	l.keepInput(slot, c, rest, need, fresh)
}

// keepPartial keeps with the input what requests has left of the front's knowledge.
func (l *Loop) keepPartial(c *conn) {
	if c.input == 0 {
		return
	}
	k := &l.inputs[c.input]
	k.partial = l.partial
	if l.begun {
		k.since = l.tick
	}
	if c.state == stateWaiting {
		k.waits = l.tick
	}
}

func (l *Loop) dropInput(c *conn) {
	if c.input == 0 {
		return
	}
	k := &l.inputs[c.input]
	l.inputBytes -= cap(k.bytes)
	l.freeInput(k.bytes)
	*k = kept{}
	l.freeInputs = append(l.freeInputs, c.input)
	c.input = 0
}

// addInput adds b to the input that is kept for the connection.
func (l *Loop) addInput(c *conn, b []byte) []byte {
	k := &l.inputs[c.input]
	old := k.bytes
	if n := len(old) + len(b); n > cap(old) {
		room := 2 * n
		if c.state == stateHTTP && int(c.need) >= n {
			room = min(room, int(c.need))
		}
		grown := l.newInput(room)
		l.inputBytes += cap(grown) - cap(old)
		k.bytes = append(grown, old...)
		l.freeInput(old)
	}
	k.bytes = append(k.bytes, b...)
	return k.bytes
}

// Buffers of unused input are used again, so that a frame in two pieces costs no
// allocation, and neither does a body in many. A few small ones, and large ones, as of batches, until the loop
// has not needed them for spareTicks: they are not under InputBytes.
const (
	spareInputBytes = 4 << 10
	spareInputs     = 64
	spareLarge      = 1 << 20 // bytes of all large ones
	spareTicks      = 8
)

// spareInput is the large buffers.
type spareInput struct {
	buffers [][]byte
	bytes   int
	used    uint32 // tick
}

func (l *Loop) newInput(n int) []byte {
	if n > spareInputBytes {
		return l.large.take(n, l.tick)
	}
	if k := len(l.spareInputs); k > 0 {
		b := l.spareInputs[k-1]
		l.spareInputs = l.spareInputs[:k-1]
		if cap(b) >= n {
			return b
		}
	}
	return make([]byte, 0, n)
}

// freeInput keeps b for newInput. Nobody may use its bytes any more.
func (l *Loop) freeInput(b []byte) {
	switch {
	case cap(b) > spareInputBytes:
		l.large.put(b)
	case cap(b) > 0 && len(l.spareInputs) < spareInputs:
		l.spareInputs = append(l.spareInputs, b[:0])
	}
}

// take returns the smallest buffer that has room for n bytes, and is not far too large, or a new one.
func (s *spareInput) take(n int, tick uint32) []byte {
	best := -1
	for i, b := range s.buffers {
		if cap(b) >= n && cap(b) <= 4*n && (best < 0 || cap(b) < cap(s.buffers[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, 0, n)
	}
	b := s.buffers[best]
	last := len(s.buffers) - 1
	s.buffers[best] = s.buffers[last]
	s.buffers[last], s.buffers = nil, s.buffers[:last]
	s.bytes -= cap(b)
	s.used = tick
	return b
}

func (s *spareInput) put(b []byte) {
	if s.bytes+cap(b) <= spareLarge {
		s.buffers = append(s.buffers, b[:0])
		s.bytes += cap(b)
	}
}

// release is called in each tick.
func (s *spareInput) release(tick uint32, now bool) {
	if s.bytes > 0 && (now || tick-s.used >= spareTicks) {
		*s = spareInput{used: tick}
	}
}

// limitInput closes those who hold most of the loop's input when all of it is
// beyond InputBytes: never the one that asks for a little more, because it asks.
func (l *Loop) limitInput() {
	if l.inputBytes <= l.config.InputBytes {
		return
	}
	all := make([]evict.Holder, 0, len(l.inputs)-len(l.freeInputs))
	for i := range l.inputs {
		if k := &l.inputs[i]; cap(k.bytes) > 0 {
			all = append(all, evict.Holder{Slot: k.slot, Bytes: cap(k.bytes), Share: l.shareOf(k.slot)})
		}
	}
	for _, h := range evict.Choose(all, l.config.InputBytes) {
		slot, c := h.Slot, l.conn(h.Slot)
		l.counts.inputFull++
		l.warn(&l.complaints.input, "client closed: unfinished input of all clients exceeded input-bytes, and this client had the most", func() []any {
			return []any{"client", l.clientText(slot), "held", h.Bytes, "limit", l.config.InputBytes}
		})
		l.throwOut(slot, c, frame.CloseTryAgainLater, inputReason)
	}
}

const inputReason = "the server keeps too much unfinished input and this connection has the most of it: send messages whole"

// throwOut closes a WebSocket with a code, whose further input is discarded, and
// any other connection at once.
func (l *Loop) throwOut(slot uint32, c *conn, code uint16, reason string) {
	if c.state != stateWS {
		l.close(slot, c)
		return
	}
	l.closeStream(slot, c, code, reason)
	if c.state != stateFree {
		l.linger(slot, c)
	}
}

// A WebSocket message, or a request, must become whole within HeadTimeout of its
// first byte, and a second more for each messageRate bytes that have come of the
// message, or of the body of the request. Single bytes gain a sender nothing, and
// one on a line of 8 kbit/s has all the time it needs.
const messageRate = 1 << 10

const slowMessageReason = "the message did not become whole in time: send it at a kilobyte a second at least"

// messageTime is how many ticks are left for the unfinished message of a
// WebSocket; the most there are if there is none, or if it is the server that
// does not read.
func (l *Loop) messageTime(c *conn) uint32 {
	if c.input == 0 || l.waits(c) || c.flags&flagBacklog != 0 || l.isSlowed(l.inputs[c.input].slot) {
		return math.MaxUint32
	}
	k := &l.inputs[c.input]
	due := k.since + l.headTicks + uint32(len(k.bytes)/messageRate)
	return uint32(max(0, int32(due-l.tick)))
}

// messageLate closes a WebSocket whose message did not become whole in time.
func (l *Loop) messageLate(slot uint32, c *conn) {
	l.counts.messageLate++
	l.warn(&l.complaints.input, "client closed: its WebSocket message was not complete within head-timeout plus 1 s per KiB", func() []any {
		return []any{"client", l.clientText(slot), "bytes", len(l.inputOf(c)), "limit", l.config.HeadTimeout}
	})
	l.throwOut(slot, c, frame.CloseTryAgainLater, slowMessageReason)
}

// requestTime is how many ticks are left for the unfinished request of a connection.
// While it is the server that does not look at it, its time does not pass.
func (l *Loop) requestTime(c *conn) uint32 {
	if l.waits(c) || c.flags&flagBacklog != 0 || c.input != 0 && l.isSlowed(l.inputs[c.input].slot) {
		return l.headTicks
	}
	k := &l.inputs[c.input]
	due := k.since + l.headTicks
	if head := int(k.partial.Head); head > 0 {
		due += uint32((len(k.bytes) - head) / messageRate)
	}
	return uint32(max(0, int32(due-l.tick)))
}

// requestLate has the front refuse a request that did not become whole in time.
// Of one of which there is nothing to refuse, empty lines, the connection is closed.
func (l *Loop) requestLate(slot uint32, c *conn) {
	l.wait(slot, c, l.idleTicks) // its timer has fired, and the refusal may wait for room
	rest, need := l.requests(slot, c, l.inputOf(c), true)
	if c.state == stateWaiting { // for the front to refuse it: its time stays over
		l.keepRest(slot, c, rest, need, false)
		l.keepPartial(c)
		return
	}
	if c.state == stateHTTP && c.flags&flagCloseNext == 0 {
		l.close(slot, c)
	}
	if c.state != stateFree {
		l.dropInput(c)
	}
}
