package frame

// Kind is the kind of an Event. It has the value of the opcode.
type Kind uint8

const (
	None   = Kind(OpContinuation) // nothing yet: more bytes are needed
	Text   = Kind(OpText)         // a whole message, valid UTF-8
	Binary = Kind(OpBinary)       // a whole message
	Ping   = Kind(OpPing)         // respond with AppendPong(dst, Payload)
	Pong   = Kind(OpPong)
	Close  = Kind(OpClose) // respond with AppendClose(dst, Code, "") and close
)

// Event is the result of Next.
type Event struct {
	Kind       Kind
	Code       uint16 // Close: the status, CloseNoStatus if there was none
	Compressed bool   // Text, Binary: Payload is compressed (RFC 7692 §7.2.2). It is still to be checked as UTF-8.
	Joined     int    // fragments before it that this call has joined: a frame each
	Payload    []byte // unmasked; of Close, the reason. Aliases the bytes given to Next.
}

// maxMessage bounds a message whatever the caller's limit, so that the
// Reader's counters fit 32 bits.
const maxMessage = 1 << 30

// Reader is the state of one client's stream between two calls of Next. The
// zero value is ready. It holds no pointers and no bytes: those that Next has
// not consumed stay with the caller, in this layout:
//
//	┌──────────────────────┬───────────┬───────────────────────────────┐
//	│ kept: the fragments  │ hole:     │ next frame: header, payload,  │
//	│ so far, unmasked,    │ handled   │ of which `seen` bytes are     │
//	│ without headers      │ already   │ unmasked already              │
//	└──────────────────────┴───────────┴───────────────────────────────┘
//
// Outside a fragmented message kept and hole are 0. Inside one, the bytes between
// two fragments (a header, a control frame) become hole, and a whole fragment is
// moved down over it: each byte once. The hole is closed by moving the bytes after
// it only when Next needs more bytes; these are then part of one frame.
type Reader struct {
	kept uint32
	hole uint32
	seen uint32
	text UTF8   // of the current text message
	op   Opcode // of the current fragmented message; OpContinuation outside one
	bits uint8
}

const (
	doneBit    uint8 = 1 << iota // a close frame or an error ended the stream
	deflateBit                   // permessage-deflate was negotiated
	packedBit                    // the current fragmented message is compressed
)

// NewDeflateReader returns the Reader of a stream with permessage-deflate.
func NewDeflateReader() Reader { return Reader{bits: deflateBit} }

func (r *Reader) done() bool    { return r.bits&doneBit != 0 }
func (r *Reader) deflate() bool { return r.bits&deflateBit != 0 }

// isPacked reports whether h is of a compressed message.
func (r *Reader) isPacked(h Header) bool { return h.Compressed || r.bits&packedBit != 0 }

// packedLimit is the limit of the compressed bytes of a message: compression makes those
// that do not shrink longer, by the header of a block in 16 KiB or less, and the limit of
// the message itself is that of its inflater.
func packedLimit(limit int) int { return limit + limit/256 + 64 }

// Next returns the next event in b, and the bytes that it did not consume.
//
//   - b is the rest of the call before, unchanged, with the bytes received
//     since appended; at the start, just those. It may have moved in memory.
//   - A Kind other than None is a whole message or a control frame. Continue with
//     rest. Payload is valid until the next call or the next change to b's
//     memory, whichever is first; appending to it does not harm rest.
//   - None with a nil error: more bytes are needed (Need returns how many). All
//     of rest must be kept; it is shorter than limit + MaxControl + MaxHeader, and
//     of a compressed message 0.4 % and 64 bytes longer.
//   - An error is final: send AppendClose(dst, CloseCode(err), …) and close.
//   - After an error or a Close event, rest is empty, and all further bytes are
//     discarded (§1.4, §5.5.1).
//
// The fragments of a message are joined at the front of rest, so rest is not
// always the end of b: after a control frame inside a fragmented message it is
// all of b, and after None it may be shorter than b, at b's start. Control
// frames are reported in stream order, before the message around them.
//
// limit bounds a message, or its fragments together, in bytes (at most 1 GiB;
// b must be below 4 GiB). ErrTooBig is returned as soon as a header announces more.
// A text that cannot become valid UTF-8 fails at its first invalid byte, not at the
// end of its frame.
//
// b is written to: payloads are unmasked in place, also those of unfinished
// frames. Each byte is unmasked and checked once, and moved at most twice.
func (r *Reader) Next(b []byte, limit int) (ev Event, rest []byte, err error) {
	joined := 0
	for !r.done() {
		at := int(r.kept) + int(r.hole)
		h, n, err := parseHeader(b[at:], r.deflate())
		if err != nil {
			return r.fail(b, err)
		}
		if n == 0 {
			return Event{Joined: joined}, r.closeHole(b), nil
		}
		if h.Op.IsControl() {
			ev, rest, err = r.control(h, b, at+n)
			ev.Joined = joined
			return ev, rest, err
		}
		if err := r.admit(h, limit); err != nil {
			return r.fail(b, err)
		}
		payload, whole, err := r.take(h, b[at+n:])
		switch {
		case err != nil:
			return r.fail(b, err)
		case !whole:
			return Event{Joined: joined}, r.closeHole(b), nil
		case h.Fin:
			ev, rest, err = r.finish(h, b, payload, at+n)
			ev.Joined = joined
			return ev, rest, err
		}
		b = r.keep(h, b, payload, n)
		joined++
	}
	return Event{}, b[:0], nil
}

// Need returns how many bytes must at least be appended to rest before Next
// can return an event; 0 if Next can continue without more. It is a hint about one
// frame, not one message. A client can make it large with only a header (after None
// at most limit, or MaxControl), so grow buffers as bytes arrive.
func (r *Reader) Need(rest []byte) int {
	if r.done() {
		return 0
	}
	b := rest[int(r.kept)+int(r.hole):]
	h, n, err := parseHeader(b, r.deflate())
	switch {
	case err != nil:
		return 0
	case n > 0:
		return int(max(0, h.Length-int64(len(b)-n)))
	case len(b) < 2:
		return minClientHeader - len(b)
	}
	return clientHeaderLen(b[1]) - len(b)
}

// Idle reports whether the stream is between two messages, as far as finished frames
// show: if rest is empty too, no message is incomplete.
func (r *Reader) Idle() bool { return r.op == OpContinuation }

// admit checks a data frame against the frames before it and the limit.
func (r *Reader) admit(h Header, limit int) error {
	limit = min(limit, maxMessage)
	if r.isPacked(h) {
		limit = packedLimit(limit)
	}
	switch {
	case h.Op == OpContinuation && r.op == OpContinuation:
		return ErrContinuation
	case h.Op != OpContinuation && r.op != OpContinuation:
		return ErrInterleaved
	case h.Length > int64(limit)-int64(r.kept):
		return ErrTooBig
	}
	return nil
}

// take unmasks and checks the new bytes of a data frame's payload, at the start of
// body, and reports whether the payload is complete.
func (r *Reader) take(h Header, body []byte) (payload []byte, whole bool, err error) {
	if int64(len(body)) > h.Length {
		body = body[:h.Length]
	}
	fresh := body[r.seen:]
	Unmask(fresh, h.Mask, int(r.seen))
	if r.op|h.Op == OpText && !r.isPacked(h) { // one of them is OpContinuation, which is 0
		if !r.text.Feed(fresh) {
			return nil, false, ErrUTF8
		}
	}
	if int64(len(body)) < h.Length {
		r.seen = uint32(len(body))
		return nil, false, nil
	}
	r.seen = 0
	return body, true, nil
}

// keep joins a fragment that is not the last, whose header has n bytes, to
// those before it and returns b from the kept bytes on.
func (r *Reader) keep(h Header, b, payload []byte, n int) []byte {
	if r.op == OpContinuation { // the first one stays where it is
		r.op = h.Op
		if h.Compressed {
			r.bits |= packedBit
		}
		r.kept = uint32(len(payload))
		return b[n:]
	}
	copy(b[r.kept:], payload)
	r.kept += uint32(len(payload))
	r.hole += uint32(n)
	return b
}

// finish reports the message that ends with payload, which begins at b[start].
func (r *Reader) finish(h Header, b, payload []byte, start int) (Event, []byte, error) {
	if !r.text.Complete() {
		return r.fail(b, ErrUTF8)
	}
	rest := b[start+len(payload):]
	if r.op == OpContinuation {
		return Event{Kind: Kind(h.Op), Compressed: h.Compressed, Payload: payload[:len(payload):len(payload)]}, rest, nil
	}
	end := int(r.kept) + copy(b[r.kept:], payload)
	ev := Event{Kind: Kind(r.op), Compressed: r.isPacked(h), Payload: b[:end:end]}
	*r = Reader{bits: r.bits & deflateBit}
	return ev, rest, nil
}

// control reports a control frame whose payload begins at b[start], when it is complete.
func (r *Reader) control(h Header, b []byte, start int) (Event, []byte, error) {
	end := start + int(h.Length)
	if len(b) < end {
		return Event{}, r.closeHole(b), nil
	}
	payload := b[start:end:end]
	Unmask(payload, h.Mask, 0)
	ev := Event{Kind: Kind(h.Op), Payload: payload}
	if h.Op == OpClose {
		code, reason, err := ParseClose(payload)
		if err != nil {
			return r.fail(b, err)
		}
		r.bits |= doneBit
		ev.Code, ev.Payload = code, reason
		return ev, b[:0], nil
	}
	if r.op == OpContinuation {
		return ev, b[end:], nil
	}
	r.hole = uint32(end) - r.kept
	return ev, b, nil
}

// closeHole moves the bytes after the hole down to the kept bytes.
func (r *Reader) closeHole(b []byte) []byte {
	if r.hole == 0 {
		return b
	}
	n := copy(b[r.kept:], b[r.kept+r.hole:])
	b = b[:int(r.kept)+n]
	r.hole = 0
	return b
}

// fail ends the stream.
func (r *Reader) fail(b []byte, err error) (Event, []byte, error) {
	r.bits |= doneBit
	return Event{}, b[:0], err
}
