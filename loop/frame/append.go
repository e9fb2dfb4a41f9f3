package frame

// AppendMessage appends payload as one unfragmented frame of a server. A text
// payload must be UTF-8, or the client will close.
func AppendMessage(dst []byte, binary bool, payload []byte) []byte {
	op := OpText
	if binary {
		op = OpBinary
	}
	dst = AppendHeader(dst, true, op, len(payload))
	return append(dst, payload...)
}

// AppendPing appends a whole ping frame (§5.5.2). The payload has at most
// MaxControl bytes; more is a bug of the caller and panics.
func AppendPing(dst, payload []byte) []byte { return appendControl(dst, OpPing, payload) }

// AppendPong appends a whole pong frame (§5.5.3), which repeats the payload of
// the ping. Limits are those of AppendPing.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, OpPong, payload) }

func appendControl(dst []byte, op Opcode, payload []byte) []byte {
	if len(payload) > MaxControl {
		panic("frame: control payload longer than 125 bytes")
	}
	dst = AppendHeader(dst, true, op, len(payload))
	return append(dst, payload...)
}

// SplitMessage returns the payload of b if b is one whole message as AppendMessage
// appends it.
func SplitMessage(b []byte) (op Opcode, payload []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	n := 2
	switch b[1] {
	case lenIn2:
		n += 2
	case lenIn8:
		n += 8
	}
	if len(b) < n {
		return 0, nil, false
	}
	op, payload = Opcode(b[0]&opBits), b[n:]
	var header [MaxHeader]byte
	whole := string(AppendHeader(header[:0], true, op, len(payload))) == string(b[:n])
	return op, payload, whole && (op == OpText || op == OpBinary)
}
