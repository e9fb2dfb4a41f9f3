package loadtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// answer is one HTTP answer. body is the caller's memory.
type answer struct {
	status int
	cursor []byte // of Peal-Cursor
	gap    bool   // it has a Peal-Gap
	body   []byte
}

var errBadAnswer = errors.New("not an HTTP answer")

// parseAnswer reads a whole HTTP answer with a Content-Length (or without a
// body) at the start of b; n == 0: it is not whole yet. Chunked answers are
// refused: the servers measured here know their lengths.
func parseAnswer(b []byte) (a answer, n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return a, 0, nil
	}
	if a.status, err = parseStatus(b[:end]); err != nil {
		return a, 0, err
	}
	length := 0
	for line := range bytes.SplitSeq(b[:end], []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
				return a, 0, fmt.Errorf("%w: content-length %q", errBadAnswer, value)
			}
		case bytes.EqualFold(name, []byte("peal-cursor")):
			a.cursor = bytes.TrimSpace(value)
		case bytes.EqualFold(name, []byte("peal-gap")):
			a.gap = true
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			return a, 0, fmt.Errorf("%w that this client reads: transfer-encoding %q", errBadAnswer, value)
		}
	}
	end += 4
	if len(b)-end < length {
		return a, 0, nil
	}
	a.body = b[end : end+length]
	return a, end + length, nil
}

// chunkedHead reports whether the body that follows head is chunked.
func chunkedHead(head []byte) bool {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("transfer-encoding")) && bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
			return true
		}
	}
	return false
}

// parseStatus reads the status of "HTTP/1.1 200 OK…".
func parseStatus(head []byte) (int, error) {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return 0, fmt.Errorf("%w: %.40q", errBadAnswer, head)
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q", errBadAnswer, head)
	}
	return status, nil
}

// parseFrame reads one server frame (RFC 6455 §5.2: never masked) at the start
// of b; n == 0: it is not whole yet. Fragmented messages are refused: no server
// measured here cuts a message of a few KiB.
func parseFrame(b []byte) (opcode byte, payload []byte, n int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	length, head := uint64(b[1]), 2
	switch {
	case b[0]&0xF0 != 0x80 || b[0]&15 == 0 || b[1]&0x80 != 0:
		return 0, nil, 0, fmt.Errorf("unexpected frame header % x", b[:2])
	case length == 126:
		if head = 4; len(b) < head {
			return 0, nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case length == 127:
		if head = 10; len(b) < head {
			return 0, nil, 0, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if uint64(len(b)-head) < length {
		return 0, nil, 0, nil
	}
	n = head + int(length)
	return b[0] & 15, b[head:n], n, nil
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
