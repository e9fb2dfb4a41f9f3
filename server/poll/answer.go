package poll

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/response"
	"peal/server/session"
)

// Answer is the response to one poll without its messages. The caller sets the fields
// of its Head that concern the connection: Date, Origin and Close.
type Answer struct {
	response.Head
	Cursor   log.Cursor // everything up to here is covered
	Gaps     []ring.Gap
	Lineage  *log.Lineage // of the log with the gaps
	Presence [][]byte     // JSON only: objects of publication.AppendPresence, oldest first
	HeadOnly bool         // the response to HEAD: without the body, but with its length
	Session  session.ID   // of the client, zero for none

	// Gzip returns the body compressed, nil if it is sent as it is; nil if no body is.
	Gzip func(body []byte) []byte

	// Retry is when the client is to poll again, 0 for at once. The header Retry-After has
	// it in seconds, rounded up.
	Retry time.Duration
}

// AppendJSON appends the answer with these messages, each the object of package
// publication, oldest first.
func AppendJSON(dst []byte, a Answer, objects [][]byte) []byte {
	// The head needs the length of the body, so small parts are encoded first.
	var cursorText [log.MaxCursorBytes]byte
	var gapText [512]byte
	cursor := a.Cursor.Append(cursorText[:0])
	gaps := gapText[:0]
	if a.Retry > 0 {
		gaps = strconv.AppendInt(append(gaps, `,"retry_ms":`...), a.Retry.Milliseconds(), 10)
	}
	if len(a.Gaps) > 0 {
		gaps = append(gaps, `,"gap":`...)
		gaps = publication.AppendGaps(gaps, a.Gaps, a.Lineage)
	}
	size := len(`{"cursor":""`) + len(cursor) + len(gaps) + len(`,"messages":[]}`) + listBytes(objects)
	if len(a.Presence) > 0 {
		size += len(`,"presence":[]`) + listBytes(a.Presence)
	}

	a.Status, a.Type, a.Size, a.Lines = 200, response.JSON, size, response.NoStore
	if a.Gzip != nil {
		body := a.appendBody(make([]byte, 0, size), cursor, gaps, objects)
		body = a.code(body)
		return a.appendWhole(dst, body)
	}
	dst = response.End(a.appendSession(a.AppendLines(grow(dst, response.Room+session.HeaderBytes+len(a.Origin)+size))))
	if a.HeadOnly {
		return dst
	}
	return a.appendBody(dst, cursor, gaps, objects)
}

// appendBody appends the object.
func (a *Answer) appendBody(dst, cursor, gaps []byte, objects [][]byte) []byte {
	dst = append(dst, `{"cursor":"`...)
	dst = append(dst, cursor...)
	dst = append(dst, '"')
	dst = append(dst, gaps...)
	if len(a.Presence) > 0 {
		dst = append(dst, `,"presence":[`...)
		dst = appendList(dst, a.Presence)
		dst = append(dst, ']')
	}
	dst = append(dst, `,"messages":[`...)
	dst = appendList(dst, objects)
	return append(dst, `]}`...)
}

// code returns the body as it is sent, and sets what the head says about it.
func (a *Answer) code(body []byte) []byte {
	a.Lines += "Vary: Accept-Encoding\r\n"
	if z := a.Gzip(body); z != nil {
		a.Lines += "Content-Encoding: gzip\r\n"
		body = z
	}
	a.Size = len(body)
	return body
}

// appendWhole appends head and body.
func (a *Answer) appendWhole(dst, body []byte) []byte {
	dst = response.End(a.appendSession(a.AppendLines(grow(dst, response.Room+session.HeaderBytes+len(a.Origin)+len(a.Lines)+len(body)))))
	if a.HeadOnly {
		return dst
	}
	return append(dst, body...)
}

// appendList appends the objects with commas between them, listBytes of bytes.
func appendList(dst []byte, objects [][]byte) []byte {
	for i, o := range objects {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, o...)
	}
	return dst
}

func listBytes(objects [][]byte) int {
	n := max(0, len(objects)-1)
	for _, o := range objects {
		n += len(o)
	}
	return n
}

// AppendRaw appends the answer with e as its one message, or 204 (No Content) if e
// is nil.
func AppendRaw(dst []byte, a Answer, e *log.Entry) []byte {
	a.Lines = response.NoStore
	if e == nil {
		a.Status = 204
		return response.End(a.appendLines(dst))
	}
	a.Status, a.Size, a.Type = 200, len(e.Data), "application/octet-stream"
	if publication.IsText(e) {
		a.Type = "text/plain; charset=utf-8"
	}
	// Published data must not run as a page of this origin.
	a.Lines = rawLines
	body := e.Data
	if a.Gzip != nil {
		body = a.code(body)
	}
	dst = a.appendLines(grow(dst, response.Room+rawRoom+len(a.Origin)+len(body)))
	if e.Event != "" {
		dst = append(dst, "Peal-Event: "...)
		dst = appendPercent(dst, e.Event)
		dst = append(dst, "\r\n"...)
	}
	dst = response.End(dst)
	if a.HeadOnly {
		return dst
	}
	return append(dst, body...)
}

// rawLines are those of an answer that has a message as its body.
const rawLines = response.NoStore + "X-Content-Type-Options: nosniff\r\n"

// rawRoom is an upper bound of the lines of a raw head without gaps and event.
const rawRoom = 256

// grow returns dst with room for n bytes, growing it at most once.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		return append(make([]byte, 0, len(dst)+n), dst...)
	}
	return dst
}

// maxGapHeader bounds Peal-Gap, because clients refuse heads beyond 8 or 16 KiB. Of
// 128 channels, those that do not fit are omitted, but never the first, so that the
// header always reports that there is a gap.
const maxGapHeader = 4096

// appendSession appends the lines with the session and the time of the next poll, if
// there are any.
func (a *Answer) appendSession(dst []byte) []byte {
	if a.Retry > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64((a.Retry+time.Second-1)/time.Second), 10)
		dst = append(dst, "\r\n"...)
	}
	if a.Session.IsZero() {
		return dst
	}
	return a.Session.AppendHeader(dst)
}

// appendLines appends the head of a raw answer, without the end.
func (a *Answer) appendLines(dst []byte) []byte {
	dst = a.appendSession(a.AppendLines(dst))
	dst = append(dst, "Peal-Cursor: "...)
	dst = a.Cursor.Append(dst)
	dst = append(dst, "\r\n"...)
	if len(a.Gaps) == 0 {
		return dst
	}
	dst = append(dst, "Peal-Gap: ["...)
	start := len(dst)
	var text [512]byte
	for i, g := range a.Gaps {
		mark := len(dst)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendASCII(dst, publication.AppendGap(text[:0], g, a.Lineage))
		if i > 0 && len(dst)-start > maxGapHeader {
			dst = dst[:mark]
			break
		}
	}
	return append(dst, "]\r\n"...)
}

// appendASCII appends JSON with everything beyond ASCII escaped: browsers read
// header values as Latin-1.
func appendASCII(dst, json []byte) []byte {
	for len(json) > 0 {
		r, size := utf8.DecodeRune(json)
		json = json[size:]
		switch {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case r > 0xFFFF: // beyond 16 bits JSON needs a surrogate pair (RFC 8259 §7)
			r -= 0x10000
			dst = appendHex(dst, 0xD800+r>>10)
			dst = appendHex(dst, 0xDC00+r&0x3FF)
		default:
			dst = appendHex(dst, r)
		}
	}
	return dst
}

func appendHex(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// appendPercent appends s as JavaScript's encodeURIComponent does, so that
// decodeURIComponent returns s: every byte that is not a letter, a digit or one of
// the marks below becomes %XX. Browsers read a header value as Latin-1 and drop
// spaces at its ends (RFC 9110 §5.5); neither changes this encoding, and no line end
// can get into the head.
func appendPercent(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		b := s[i]
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
			dst = append(dst, b)
		case strings.IndexByte("-_.!~*'()", b) >= 0:
			dst = append(dst, b)
		default:
			dst = append(dst, '%', digits[b>>4], digits[b&15])
		}
	}
	return dst
}
