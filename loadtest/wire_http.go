package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// ErrUnreadable means that the load test cannot read what the server sent. That is
// the load test's own limit, or a breach of the protocol: either way nothing may be
// concluded about what a subscriber did not get.
var ErrUnreadable = errors.New("the load test cannot read the server")

func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnreadable}, args...)...)
}

// errCut means that a connection ended in the middle of a response.
var errCut = errors.New("closed by the server in the middle of a response")

// answer is one HTTP response. body is the caller's memory, but for that of a
// chunked one.
type answer struct {
	head
	body []byte
}

// head is what this client wants to know of a response's head. Its slices are the
// caller's memory.
type head struct {
	status  int
	length  int // of the body; −1: not given
	chunked bool
	close   bool // the connection ends with this response (RFC 9112 §9.3)

	cursor, accept, protocol []byte // of Peal-Cursor, Sec-WebSocket-Accept and -Protocol
	gap                      bool   // it has a Peal-Gap
}

// parseAnswer reads a whole response at the start of b, and the interim ones before
// it (RFC 9110 §15.2); n == 0: it is not whole yet. ended says that nothing will
// follow b: the body then ends there if the head does not give its end (RFC 9112 §6.3).
func parseAnswer(b []byte, ended bool) (a answer, n int, err error) {
	a.head, n, err = finalHead(b)
	if err == nil && n == 0 && ended {
		err = errCut
	}
	if n == 0 || err != nil {
		return a, 0, err
	}
	switch {
	case a.status == 101:
		return a, 0, unreadable("a protocol that was not requested")
	case a.status == 204 || a.status == 304:
		return a, n, nil
	case a.chunked:
		body, end, err := dechunk(b[n:])
		if err == nil && end == 0 && ended {
			err = errCut
		}
		if end == 0 || err != nil {
			return a, 0, err
		}
		a.body = body
		return a, n + end, nil
	case a.length < 0:
		a.close = true
		if !ended {
			return a, 0, nil
		}
		a.body = b[n:]
		return a, len(b), nil
	case len(b)-n < a.length:
		if ended {
			err = errCut
		}
		return a, 0, err
	}
	a.body = b[n : n+a.length]
	return a, n + a.length, nil
}

// finalHead reads the first head of b that is not an interim response's, and
// returns where it ends; 0: it is not all there.
func finalHead(b []byte) (h head, n int, err error) {
	for {
		end := bytes.Index(b[n:], []byte("\r\n\r\n"))
		if end < 0 {
			return h, 0, nil
		}
		h, err = parseHead(b[n : n+end])
		n += end + len("\r\n\r\n")
		if err != nil || h.status/100 != 1 || h.status == 101 {
			return h, n, err
		}
	}
}

// parseHead reads a head without its empty line.
func parseHead(b []byte) (h head, err error) {
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if h.status, err = parseStatus(line); err != nil {
		return h, err
	}
	h.length = -1
	old := bytes.HasPrefix(line, []byte("HTTP/1.0"))
	keeps := false
	for line := range bytes.SplitSeq(rest, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 {
				return h, unreadable("content-length %q", value)
			}
		case is(name, "transfer-encoding"):
			if !is(value, "chunked") {
				return h, unreadable("transfer-encoding %q", value)
			}
			h.chunked = true
		case is(name, "content-encoding"):
			if len(value) > 0 && !is(value, "identity") {
				return h, unreadable("content-encoding %q, which was not requested", value)
			}
		case is(name, "connection"):
			for option := range bytes.SplitSeq(value, []byte(",")) {
				h.close = h.close || is(bytes.TrimSpace(option), "close")
				keeps = keeps || is(bytes.TrimSpace(option), "keep-alive")
			}
		case is(name, "sec-websocket-accept"):
			h.accept = value
		case is(name, "sec-websocket-protocol"):
			h.protocol = value
		case is(name, "peal-cursor"):
			h.cursor = value
		case is(name, "peal-gap"):
			h.gap = true
		}
	}
	h.close = h.close || old && !keeps
	return h, nil
}

// is compares names of HTTP, which have no case.
func is(b []byte, name string) bool {
	return len(b) == len(name) && bytes.EqualFold(b, []byte(name))
}

// parseStatus reads the status of "HTTP/1.1 200 OK".
func parseStatus(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, unreadable("not an HTTP response: %.40q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, unreadable("not an HTTP response: %.40q", line)
	}
	return status, nil
}

// chunkSize reads the line with a chunk's size at the start of b, of which n bytes
// are its own; n == 0: it is not whole yet.
func chunkSize(b []byte) (size, n int, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, 0, nil
	}
	text, _, _ := bytes.Cut(b[:end], []byte(";")) // extensions
	text = bytes.TrimSpace(text)
	v, err := strconv.ParseUint(string(text), 16, 31)
	if err != nil {
		return 0, 0, unreadable("chunk size %q", text)
	}
	return int(v), end + 1, nil
}

// dechunk reads a whole chunked body at the start of b (RFC 9112 §7.1), its
// trailers included; n == 0: it is not whole yet.
func dechunk(b []byte) (body []byte, n int, err error) {
	for {
		size, used, err := chunkSize(b[n:])
		if used == 0 || err != nil {
			return nil, 0, err
		}
		n += used
		if size == 0 {
			break
		}
		if len(b)-n < size+2 {
			return nil, 0, nil
		}
		body = append(body, b[n:n+size]...)
		n += size + 2 // with its CRLF
	}
	for {
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			return nil, 0, nil
		}
		line := bytes.TrimSuffix(b[n:n+end], []byte("\r"))
		if n += end + 1; len(line) == 0 {
			return body, n, nil
		}
	}
}
