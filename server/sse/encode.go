package sse

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/session"
)

// Clients reconnect after a random time between these bounds; otherwise all clients
// of a restarted server would reconnect at once.
const (
	MinRetry = 2 * time.Second
	MaxRetry = 5 * time.Second
)

// CursorEvent is the name of an event that carries a position and no message.
const CursorEvent = "peal.cursor"

// AppendOpen appends the first bytes of a stream at position c: how long to
// wait before reconnecting, and a CursorEvent with the position and, unless it is
// zero, the session id of the client: browsers show scripts no header of an event stream.
func AppendOpen(dst []byte, c log.Cursor, id session.ID, retry time.Duration) []byte {
	dst = appendCursor(AppendRetry(dst, retry), c)
	if !id.IsZero() {
		dst = append(dst, `,"session":"`...)
		dst = append(id.Append(dst), '"')
	}
	return append(dst, "}\n\n"...)
}

// AppendHeartbeat appends the position c as a CursorEvent. Its data is JSON, like
// that of all events that the server itself sends.
func AppendHeartbeat(dst []byte, c log.Cursor) []byte {
	return append(appendCursor(dst, c), "}\n\n"...)
}

// appendCursor appends a CursorEvent, without the end of its object.
func appendCursor(dst []byte, c log.Cursor) []byte {
	dst = appendID(dst, c)
	dst = append(dst, "event: "+CursorEvent+"\ndata: {\"cursor\":\""...)
	return append(c.Append(dst), '"')
}

// AppendRaw appends e, whose position is c, as an event with its published data.
// The standard has one kind of line end: CR and CRLF arrive as LF. Binary data is
// base64.
func AppendRaw(dst []byte, e *log.Entry, c log.Cursor) []byte {
	text := publication.IsText(e)
	data := base64.StdEncoding.EncodedLen(len(e.Data))
	if text { // each line is a field
		data = len(e.Data) + len("data: ")*(bytes.Count(e.Data, []byte{'\n'})+bytes.Count(e.Data, []byte{'\r'}))
	}
	dst = grow(dst, eventBytes+len(e.Event)+data)
	dst = appendID(dst, c)
	if len(e.Tags) > 0 {
		dst = appendRetryTag(dst, e.Tags[log.RetryTag])
	}
	dst = appendEvent(dst, e.Event)
	if text {
		dst = appendData(dst, e.Data)
	} else {
		dst = append(dst, "data: "...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// AppendJSON appends e, published on channel at position c, as an event whose
// data is its object.
func AppendJSON(dst []byte, e *log.Entry, channel string, c log.Cursor) []byte {
	dst = grow(dst, eventBytes+len(e.Event)+publication.SizeHint(e, channel))
	dst = appendID(dst, c)
	dst = appendEvent(dst, e.Event)
	dst = append(dst, "data: "...)
	dst = publication.AppendJSON(dst, e, channel, c) // has no line ends: they are escaped
	return append(dst, "\n\n"...)
}

// AppendGap appends a gap as an event named gap.
//
// It intentionally has no id. The id is a position on all channels of a stream:
// with that of g.To, a client whose connection breaks here would resume after
// messages of its other channels that it has not received. Without an id it resumes
// from its old position, and receives the gap again.
func AppendGap(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
	dst = append(dst, "event: gap\ndata: "...)
	dst = publication.AppendGap(dst, g, lineage)
	return append(dst, "\n\n"...)
}

// AppendPresence appends e, an entry of kind presence at position c, as an event
// named peal.presence whose data is its object.
func AppendPresence(dst []byte, e *log.Entry, c log.Cursor) []byte {
	dst = grow(dst, eventBytes+len(presenceEvent)+2*len(e.Channel)+log.MaxCursorBytes+64+len(e.Data))
	dst = appendID(dst, c)
	dst = appendEvent(dst, presenceEvent)
	dst = append(dst, "data: "...)
	dst = publication.AppendPresence(dst, e, c)
	return append(dst, "\n\n"...)
}

// presenceEvent is reserved: publications cannot have that name.
const presenceEvent = "peal.presence"

// AppendExpires appends the warning that the token of the client expires in that time: an
// event named peal.token_expires with {"in":seconds}.
func AppendExpires(dst []byte, in time.Duration) []byte {
	dst = append(appendEvent(dst, expiresEvent), `data: {"in":`...)
	dst = strconv.AppendInt(dst, int64(in.Seconds()), 10)
	return append(dst, "}\n\n"...)
}

// expiresEvent is reserved, as presenceEvent is.
const expiresEvent = "peal.token_expires"

// AppendEnd appends the last bytes of a stream that the server ends: clients
// reconnect by themselves, after retry. No empty line follows: the field is effective
// without one, and some clients treat every empty line as an event.
func AppendEnd(dst []byte, retry time.Duration) []byte { return AppendRetry(dst, retry) }

// eventBytes is the length of an event without its name and data.
const eventBytes = len("id: \nevent: \ndata: \n\n") + log.MaxCursorBytes

// AppendRetry appends how long to wait before reconnecting: the whole beginning of a
// stream for a client that has its position.
func AppendRetry(dst []byte, retry time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	return append(dst, '\n')
}

// maxRetryDigits bounds the time that a publisher sets: 11 days in milliseconds.
const maxRetryDigits = 9

// appendRetryTag appends what an entry says about reconnecting. Another writer of the log
// may have written anything.
func appendRetryTag(dst []byte, text string) []byte {
	if text == "" || len(text) > maxRetryDigits || strings.Trim(text, "0123456789") != "" {
		return dst
	}
	dst = append(dst, "retry: "...)
	dst = append(dst, text...)
	return append(dst, '\n')
}

// AppendComment appends a heartbeat that moves no position and that no client reports.
func AppendComment(dst []byte) []byte { return append(dst, ":\n"...) }

func appendID(dst []byte, c log.Cursor) []byte {
	dst = append(dst, "id: "...)
	dst = c.Append(dst)
	return append(dst, '\n')
}

// appendEvent appends the name field. Publishers cannot use line ends in a name; if
// another writer of the log did, they must not become fields.
func appendEvent(dst []byte, name string) []byte {
	if name == "" {
		return dst
	}
	dst = append(dst, "event: "...)
	for i := range len(name) {
		if name[i] != '\n' && name[i] != '\r' {
			dst = append(dst, name[i])
		}
	}
	return append(dst, '\n')
}

// appendData appends one data field for each line of data; a line ends at CR,
// LF or CRLF, as in the standard's grammar.
func appendData(dst, data []byte) []byte {
	dst = append(dst, "data: "...)
	from := 0
	for i := 0; i < len(data); i++ {
		if b := data[i]; b != '\n' && b != '\r' {
			continue
		}
		dst = append(dst, data[from:i]...)
		dst = append(dst, "\ndata: "...)
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		from = i + 1
	}
	dst = append(dst, data[from:]...)
	return append(dst, '\n')
}

// grow makes room for n more bytes, so that encoding a message costs one
// allocation of about the right size.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}
