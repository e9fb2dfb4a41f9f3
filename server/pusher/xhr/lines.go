package xhr

import (
	"encoding/binary"
	"strconv"

	"peal/loop/frame"
	"peal/server/publication"
)

// Opened is the first line of a session.
const Opened = "o\n"

// Beat is a sign of life: no message. SockJS has h for it, which each client answers with a
// request; a client that hears anything knows as much.
const Beat = "a[]\n"

// AppendLines appends whole frames of a server, without masks, as lines: a["…"] for a text,
// Beat for a ping, c[code,"reason"] for a close. Others are left out.
func AppendLines(dst, frames []byte) []byte {
	for len(frames) > 0 {
		op, payload, rest := cut(frames)
		frames = rest
		switch op {
		case frame.OpText:
			dst = append(publication.AppendString(append(dst, "a["...), payload), "]\n"...)
		case frame.OpPing:
			dst = append(dst, Beat...)
		case frame.OpClose:
			dst = appendClose(dst, payload)
		}
	}
	return dst
}

// cut takes the first frame off (RFC 6455 §5.2). It panics if that is not a whole one of a
// server: all callers have made the frames themselves.
func cut(frames []byte) (op frame.Opcode, payload, rest []byte) {
	length, n := int(frames[1]), 2
	switch length {
	case 126:
		length, n = int(binary.BigEndian.Uint16(frames[2:])), 4
	case 127:
		length, n = int(binary.BigEndian.Uint64(frames[2:])), 10
	}
	return frame.Opcode(frames[0] & 0x0F), frames[n : n+length], frames[n+length:]
}

// appendClose appends the line for the payload of a close frame.
func appendClose(dst, payload []byte) []byte {
	code, reason := frame.CloseNormal, []byte(nil)
	if len(payload) >= 2 {
		code, reason = binary.BigEndian.Uint16(payload), payload[2:]
	}
	dst = strconv.AppendUint(append(dst, "c["...), uint64(code), 10)
	dst = publication.AppendString(append(dst, ','), reason)
	return append(dst, "]\n"...)
}
