package loadtest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// frame is one frame of a server. payload is the caller's memory.
type frame struct {
	final      bool
	compressed bool // RSV1, which permessage-deflate uses (RFC 7692 §6)
	opcode     byte
	payload    []byte
}

// control reports whether the frame may stand between the fragments of a message
// (RFC 6455 §5.4).
func (f *frame) control() bool { return f.opcode >= 8 }

// parseFrame reads one server frame (RFC 6455 §5.2: never masked) at the start
// of b; n == 0: it is not whole yet. deflated says that messages may be compressed.
func parseFrame(b []byte, deflated bool) (f frame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	length, head, least := uint64(b[1]), 2, uint64(0)
	switch {
	case b[0]&0x30 != 0 || b[0]&0x40 != 0 && (!deflated || b[0]&15 != 1 && b[0]&15 != 2):
		return f, 0, unreadable("a frame with reserved bits: % x (RFC 6455 §5.2)", b[:2])
	case b[1]&0x80 != 0:
		return f, 0, unreadable("a masked frame: % x (RFC 6455 §5.1)", b[:2])
	case length == 126:
		if head = 4; len(b) < head {
			return f, 0, nil
		}
		length, least = uint64(binary.BigEndian.Uint16(b[2:])), 126
	case length == 127:
		if head = 10; len(b) < head {
			return f, 0, nil
		}
		length, least = binary.BigEndian.Uint64(b[2:]), 1<<16
	}
	f = frame{final: b[0]&0x80 != 0, compressed: b[0]&0x40 != 0, opcode: b[0] & 15}
	if f.control() && (!f.final || length > 125) {
		return f, 0, unreadable("a control frame in fragments, or of more than 125 bytes: % x (RFC 6455 §5.5)", b[:2])
	}
	if length < least || length > math.MaxInt64 {
		return f, 0, unreadable("a length of %d in %d bytes (RFC 6455 §5.2)", length, head-2)
	}
	if length > partialLimit {
		return f, 0, unreadable("a frame of %d bytes", length)
	}
	if uint64(len(b)-head) < length {
		return f, 0, nil
	}
	n = head + int(length)
	f.payload = b[head:n]
	return f, n, nil
}

// message puts the fragments of a message together (RFC 6455 §5.4). whole is false
// while more are to come. The message is the frame's memory or the connection's, until
// the next call.
func (c *leanConn) message(f *frame) (message []byte, whole bool, err error) {
	switch {
	case (f.opcode == 0) != c.fragmented:
		return nil, false, unreadable("a continuation frame without a message, or a message within another: opcode %d (RFC 6455 §5.4)", f.opcode)
	case len(c.fragments)+len(f.payload) > partialLimit:
		return nil, false, unreadable("a message of more than %d bytes", partialLimit)
	}
	if !c.fragmented {
		c.opcode, c.squeezed = f.opcode, f.compressed
		if f.final {
			return f.payload, true, nil
		}
	}
	c.fragmented = !f.final
	c.fragments = append(c.fragments, f.payload...)
	if !f.final {
		return nil, false, nil
	}
	message, c.fragments = c.fragments, nil
	return message, true, nil
}

// frameForm is the form of messages in frames with an opcode.
func frameForm(opcode byte) form {
	if opcode == 1 {
		return text
	}
	return octets
}

// appendMasked appends one client frame with a random masking key (§5.3).
func appendMasked(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var key [4]byte
	binary.NativeEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, c := range payload {
		dst = append(dst, c^key[i&3])
	}
	return dst
}
