package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrUnreadable means that the load test cannot read what the server sent. That is
// the load test's own limit, or a breach of the protocol: either way nothing may be
// concluded about what a subscriber did not get.
var ErrUnreadable = errors.New("the load test cannot read the server")

func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnreadable}, args...)...)
}

// errCut means that a connection ended in the middle of a response.
var errCut = errors.New("connection closed in the middle of a response")

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

	contentType, cursor          []byte // the latter of Peal-Cursor
	upgrade                      []byte // and, below, the other fields of a 101
	accept, protocol, extensions []byte
	upgrades                     bool // Connection has it
	gap                          bool // it has a Peal-Gap
}

// upgraded judges the answer to a WebSocket's handshake that asked for a subprotocol, ""
// for none, and had further header lines (RFC 6455 §4.1).
func (h *head) upgraded(protocol, lines string) error {
	switch {
	case h.status != 101:
		return byServer("upgrade refused: status %d", h.status)
	case !is(h.upgrade, "websocket") || !h.upgrades:
		return unreadable("status 101 with Upgrade %q, or without Connection: Upgrade (RFC 6455 §4.1)", h.upgrade)
	case string(h.accept) != leanAccept:
		return unreadable("status 101 with Sec-WebSocket-Accept %q, which is not the key's (RFC 6455 §4.1)", h.accept)
	case len(h.extensions) > 0 && !strings.Contains(strings.ToLower(lines), "sec-websocket-extensions:"):
		return unreadable("status 101 with extension %q, which was not offered (RFC 6455 §4.1)", h.extensions)
	case protocol != "" && len(h.protocol) == 0:
		return byServer("the server does not speak the subprotocol %s", protocol)
	case string(h.protocol) != protocol && !strings.Contains(lines, string(h.protocol)):
		return unreadable("status 101 with subprotocol %q, which was not offered (RFC 6455 §4.1)", h.protocol)
	}
	return nil
}

// isJSON reports whether a content type is.
func isJSON(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	media = bytes.ToLower(bytes.TrimSpace(media))
	return string(media) == "application/json" || bytes.HasSuffix(media, []byte("+json"))
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
			if bytes.Contains(b[n:], []byte("\n\n")) {
				err = unreadable("a head whose lines do not end with CR and LF (RFC 9112 §2.2)")
			}
			return h, 0, err
		}
		h, err = parseHead(b[n : n+end])
		n += end + len("\r\n\r\n")
		if err != nil || h.status/100 != 1 || h.status == 101 {
			return h, n, err
		}
	}
}

// parseHead reads a head without its empty line. Folded lines are one (RFC 9112 §5.2).
func parseHead(b []byte) (h head, err error) {
	if bytes.Contains(b, []byte("\r\n ")) || bytes.Contains(b, []byte("\r\n\t")) {
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n "), []byte("   ")), []byte("\r\n\t"), []byte("   "))
	}
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if h.status, err = parseStatus(line); err != nil {
		return h, err
	}
	h.length = -1
	old := bytes.HasPrefix(line, []byte("HTTP/1.0"))
	keeps := false
	for line := range bytes.SplitSeq(rest, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(line) == 0: // of a head without fields
		case !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") || bytes.IndexByte(value, '\n') >= 0:
			return h, unreadable("a header line that is none: %.100q (RFC 9112 §5)", line)
		case is(name, "content-length"):
			n, err := strconv.ParseUint(string(value), 10, 62)
			if err != nil || h.length >= 0 && h.length != int(n) {
				return h, unreadable("content-length %q (RFC 9112 §6.3)", value)
			}
			h.length = int(n)
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
				h.upgrades = h.upgrades || is(bytes.TrimSpace(option), "upgrade")
			}
		case is(name, "sec-websocket-accept"):
			h.accept = value
		case is(name, "sec-websocket-protocol"):
			h.protocol = value
		case is(name, "sec-websocket-extensions"):
			h.extensions = value
		case is(name, "upgrade"):
			h.upgrade = value
		case is(name, "content-type"):
			h.contentType = value
		case is(name, "peal-cursor"):
			h.cursor = value
		case is(name, "peal-gap"):
			h.gap = true
		}
	}
	if h.chunked && h.length >= 0 {
		return h, unreadable("both a content-length and a transfer-encoding (RFC 9112 §6.2)")
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

// nextChunk reads the next piece of a chunked body (RFC 9112 §7.1) at the start of b, of
// which n bytes are its own; n == 0: it is not whole yet. left is 0 before the first
// piece: how much of a chunk is to come, CRLF included, or −1 among the trailers. io.EOF
// is the end of the body, n with it.
func nextChunk(left *int, b []byte) (data []byte, n int, err error) {
	switch {
	case len(b) == 0:
		return nil, 0, nil
	case *left > 2:
		n = min(*left-2, len(b))
		*left -= n
		return b[:n], n, nil
	case *left > 0:
		if b[0] != "\n\r"[*left-1] {
			return nil, 0, unreadable("a chunk without a line end (RFC 9112 §7.1)")
		}
		*left--
		return nil, 1, nil
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, 0, nil
	}
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	if *left < 0 {
		if len(line) == 0 {
			err = io.EOF
		}
		return nil, end + 1, err
	}
	text, _, _ := bytes.Cut(line, []byte(";")) // extensions
	size, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 16, 31)
	if err != nil {
		return nil, 0, unreadable("chunk size %q (RFC 9112 §7.1)", text)
	}
	if *left = int(size) + 2; size == 0 {
		*left = -1
	}
	return nil, end + 1, nil
}

// dechunk reads a whole chunked body at the start of b, its trailers included; n == 0: it
// is not whole yet.
func dechunk(b []byte) (body []byte, n int, err error) {
	for left := 0; ; {
		data, used, err := nextChunk(&left, b[n:])
		n += used
		switch {
		case err == io.EOF:
			return body, n, nil
		case used == 0:
			return nil, 0, err
		}
		body = append(body, data...)
	}
}
