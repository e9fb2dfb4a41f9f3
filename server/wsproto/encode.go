package wsproto

import (
	"strconv"
	"time"
	"unicode/utf8"

	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
)

// maxHeader is the longest header of a frame without a mask (RFC 6455 §5.2).
const maxHeader = 10

// AppendRaw appends the data of e as one frame: text if it is text, else
// binary. It allocates only when dst is too small, and then just once.
func AppendRaw(dst []byte, e *log.Entry) []byte {
	if cap(dst)-len(dst) < maxHeader+len(e.Data) {
		dst = append(make([]byte, 0, len(dst)+maxHeader+len(e.Data)), dst...)
	}
	return frame.AppendMessage(dst, !publication.IsText(e), e.Data)
}

// AppendJSON appends the object of e, published on channel at position c, as
// one text frame.
func AppendJSON(dst []byte, e *log.Entry, channel string, c log.Cursor) []byte {
	// The header needs the length, which is known only after escaping: write the
	// object after room for the longest header, then move it to the end of the header.
	at := len(dst)
	if hint := maxHeader + publication.SizeHint(e, channel); cap(dst)-at < hint {
		dst = append(make([]byte, 0, at+hint), dst...)
	}
	dst = append(dst, make([]byte, maxHeader)...)
	dst = publication.AppendJSON(dst, e, channel, c)
	object := dst[at+maxHeader:]
	header := frame.AppendHeader(dst[:at], true, frame.OpText, len(object))
	return append(header, object...) // moves down: append is a memmove
}

// AppendHeartbeat appends a ping whose payload is the cursor, so that a client
// without messages learns its position.
func AppendHeartbeat(dst []byte, c log.Cursor) []byte {
	var text [log.MaxCursorBytes]byte
	return frame.AppendPing(dst, c.Append(text[:0]))
}

// AppendGap appends a text frame {"gap":[…]} for a JSON connection. Raw cannot carry
// a gap: see CloseGap.
func AppendGap(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
	body := append(make([]byte, 0, 512), `{"gap":[`...)
	body = publication.AppendGap(body, g, lineage)
	return frame.AppendMessage(dst, false, append(body, "]}"...))
}

// AppendPresence appends a text frame {"presence":{…}} with the object of e, an
// entry of kind presence at position c. Raw cannot carry it.
func AppendPresence(dst []byte, e *log.Entry, c log.Cursor) []byte {
	body := append(make([]byte, 0, 512+len(e.Data)), `{"presence":`...)
	body = publication.AppendPresence(body, e, c)
	return frame.AppendMessage(dst, false, append(body, '}'))
}

// AppendClose appends the last frame: the status code and reason.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	return frame.AppendClose(dst, code, reason)
}

// AppendCloseRetry is AppendClose for a client that is to come back in that time: the
// reason ends with it, as in "draining: …; retry in 2731 ms".
func AppendCloseRetry(dst []byte, code uint16, reason string, retry time.Duration) []byte {
	hint := "; retry in " + strconv.FormatInt(retry.Milliseconds(), 10) + " ms"
	for len(reason)+len(hint) > frame.MaxControl-2 { // the status takes two bytes
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	return frame.AppendClose(dst, code, reason+hint)
}
