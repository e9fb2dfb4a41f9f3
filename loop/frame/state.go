package frame

import "errors"

// State is a Reader as plain data. What can be found in the bytes that Next has not
// consumed is not in it.
type State struct {
	Kept    uint32 // bytes of fragments at the beginning of rest
	Hole    uint32 // bytes behind them that were handled
	Seen    uint32 // bytes of the payload of the next frame that are unmasked
	Op      uint8  // opcode of the fragmented message, 0 outside one (RFC 6455 §5.2)
	Packed  bool   // it is compressed
	Deflate bool   // permessage-deflate was negotiated
	Done    bool   // a close frame or an error ended the stream
}

// State returns the state of the Reader.
func (r *Reader) State() State {
	return State{
		Kept: r.kept, Hole: r.hole, Seen: r.seen, Op: uint8(r.op),
		Packed: r.bits&packedBit != 0, Deflate: r.deflate(), Done: r.done(),
	}
}

// ErrState: a State does not belong to the bytes that it was given.
var ErrState = errors.New("frame: the state of the stream contradicts its bytes")

// Reader returns the Reader that goes on with rest, which Next had returned.
func (s State) Reader(rest []byte) (Reader, error) {
	r := Reader{kept: s.Kept, hole: s.Hole, seen: s.Seen, op: Opcode(s.Op)}
	for bit, on := range map[uint8]bool{doneBit: s.Done, deflateBit: s.Deflate, packedBit: s.Packed} {
		if on {
			r.bits |= bit
		}
	}
	at := uint64(s.Kept) + uint64(s.Hole)
	switch {
	case r.op != OpContinuation && r.op != OpText && r.op != OpBinary:
		return Reader{}, ErrState
	case at > uint64(len(rest)) || r.op == OpContinuation && at > 0 || s.Packed && !s.Deflate:
		return Reader{}, ErrState
	case s.Done:
		return r, nil
	}
	var seen []byte
	op, packed := r.op, s.Packed
	if s.Seen > 0 {
		h, n, err := parseHeader(rest[at:], s.Deflate)
		if err != nil || n == 0 || h.Op.IsControl() || int64(s.Seen) > h.Length || at+uint64(n)+uint64(s.Seen) > uint64(len(rest)) {
			return Reader{}, ErrState
		}
		seen = rest[at+uint64(n):][:s.Seen]
		op, packed = op|h.Op, packed || h.Compressed
	}
	if op == OpText && !packed { // as in take
		if !r.text.Feed(rest[:s.Kept]) || !r.text.Feed(seen) {
			return Reader{}, ErrState
		}
	}
	return r, nil
}
