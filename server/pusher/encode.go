package pusher

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/app"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/session"
)

// maxHeader is the longest header of a frame without a mask.
const maxHeader = 10

// ActivityTimeout is the silence in seconds after which a client asks whether the server is
// still there. Peal pings connections itself, in frames that scripts do not see.
const ActivityTimeout = 120

// DefaultEvent is the event of a publication without one.
const DefaultEvent = "message"

// AppendEvent appends the frame of e, which was published on channel at position c: an
// object with event, channel, data, which is a JSON string, and user_id if e has one. With cursors it has
// the cursor, too. An entry of several channels (log.Entry.Also) has a frame for each of them that
// clients of the protocol can name, because they find their handlers by the channel. Further ones
// that publication.Also leaves out have none. If that leaves no
// frame, it is that of the only channel by which a client of the protocol can have subscribed, or,
// if there are several, a frame without a channel, which clients pass to the handlers of the connection.
func AppendEvent(dst []byte, e *log.Entry, channel string, c log.Cursor, cursors bool) []byte {
	if len(e.Also) == 0 {
		return appendEventOn(dst, e, channel, c, cursors)
	}
	only, told, closed := "", 1+len(publication.Also(e)), 0
	for i := range 1 + len(e.Also) {
		name := nth(e, channel, i)
		if !app.IsName([]byte(app.Name(name))) || hasBefore(e, channel, i) {
			continue
		}
		if i < told {
			dst = appendEventOn(dst, e, name, c, cursors)
			closed = -1
		} else if closed >= 0 {
			only = name
			closed++
		}
	}
	switch {
	case closed == 1:
		dst = appendEventOn(dst, e, only, c, cursors)
	case closed > 1:
		dst = appendEventOn(dst, e, "", c, cursors)
	}
	return dst
}

// nth is a channel of e, whose first is channel.
func nth(e *log.Entry, channel string, i int) string {
	if i == 0 {
		return channel
	}
	return e.Also[i-1]
}

// hasBefore reports whether a channel of e is one before it for the clients: those of
// several apps may have the same name.
func hasBefore(e *log.Entry, channel string, i int) bool {
	for k := range i {
		if app.Name(nth(e, channel, k)) == app.Name(nth(e, channel, i)) {
			return true
		}
	}
	return false
}

// appendEventOn appends one frame of AppendEvent; channel may be "" for none.
func appendEventOn(dst []byte, e *log.Entry, channel string, c log.Cursor, cursors bool) []byte {
	name := app.Name(channel)
	dst, at := begin(dst, eventBytes(e, name, c, cursors))
	dst = append(dst, `{"event":`...)
	dst = appendEventName(dst, e.Event)
	if name != "" {
		dst = append(dst, `,"channel":`...)
		dst = publication.AppendString(dst, name)
	}
	if publication.IsText(e) {
		dst = append(dst, `,"data":`...)
		dst = publication.AppendString(dst, e.Data)
	} else {
		dst = append(dst, `,"data":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	}
	if id := e.Tags[log.UserTag]; id != "" {
		dst = append(dst, `,"user_id":`...)
		dst = publication.AppendString(dst, id)
	}
	if cursors {
		dst = appendCursor(dst, c)
	}
	return end(append(dst, '}'), at)
}

// eventBytes is the length of the frame of an event of which nothing must be escaped, or a
// few bytes more: histories keep the frame, with its capacity.
func eventBytes(e *log.Entry, name string, c log.Cursor, cursors bool) int {
	n := len(`{"event":"","channel":"","data":""}`) + max(len(e.Event), len(DefaultEvent)) + len(name) + len(e.Data) + len(e.Data)/16
	if e.Binary {
		n += len(e.Data)/3 + 4
	}
	if id := e.Tags[log.UserTag]; id != "" {
		n += len(`,"user_id":""`) + len(id)
	}
	if cursors {
		var text [log.MaxCursorBytes]byte
		n += len(`,"cursor":""`) + len(c.Append(text[:0]))
	}
	return n
}

// appendEventName appends the name of an event. Those of the protocol are the server's, so
// that nobody can publish what clients would take for its word: they get a prefix.
func appendEventName(dst []byte, name string) []byte {
	switch {
	case name == "":
		name = DefaultEvent
	case strings.HasPrefix(name, "pusher:"), strings.HasPrefix(name, "pusher_internal:"), strings.HasPrefix(name, "peal:"):
		name = "published-" + name
	}
	return publication.AppendString(dst, name)
}

func appendCursor(dst []byte, c log.Cursor) []byte {
	dst = append(dst, `,"cursor":"`...)
	return append(c.Append(dst), '"')
}

// begin makes room for a frame of about so many bytes, whose header comes when its length is known: see
// end.
func begin(dst []byte, size int) (_ []byte, at int) {
	at = len(dst)
	if cap(dst)-at < maxHeader+size {
		dst = append(make([]byte, 0, at+maxHeader+size), dst...)
	}
	return append(dst, make([]byte, maxHeader)...), at
}

// end puts the header before the payload that begins behind the room of begin.
func end(dst []byte, at int) []byte {
	payload := dst[at+maxHeader:]
	header := frame.AppendHeader(dst[:at], true, frame.OpText, len(payload))
	return append(header, payload...) // moves down: append is a memmove
}

// appendInternal appends a frame with an event of the protocol on a channel, "" for none.
// data is JSON, which is sent as a string.
func appendInternal(dst []byte, event, channel string, data []byte) []byte {
	return appendInternalAt(dst, event, channel, data, log.Cursor{})
}

// appendInternalAt is appendInternal with a cursor, unless it is zero.
func appendInternalAt(dst []byte, event, channel string, data []byte, c log.Cursor) []byte {
	dst, at := begin(dst, len(event)+len(channel)+len(data)+len(data)/4+96)
	dst = append(dst, `{"event":"`...)
	dst = append(dst, event...)
	dst = append(dst, '"')
	if channel != "" {
		dst = append(dst, `,"channel":`...)
		dst = publication.AppendString(dst, channel)
	}
	dst = append(dst, `,"data":`...)
	dst = publication.AppendString(dst, data)
	if !c.IsZero() {
		dst = appendCursor(dst, c)
	}
	return end(append(dst, '}'), at)
}

// AppendEstablished appends pusher:connection_established for a session.
func AppendEstablished(dst []byte, id session.ID) []byte {
	data := append(make([]byte, 0, 96), `{"socket_id":"`...)
	data = AppendSocketID(data, id)
	data = append(data, `","activity_timeout":`...)
	data = strconv.AppendInt(data, ActivityTimeout, 10)
	return appendInternal(dst, "pusher:connection_established", "", append(data, '}'))
}

// AppendPong appends the answer to pusher:ping.
func AppendPong(dst []byte) []byte { return appendInternal(dst, "pusher:pong", "", empty) }

var empty = []byte("{}")

// AppendError appends pusher:error. Its data is an object, as the clients of the protocol
// expect it.
func AppendError(dst []byte, code int, message string) []byte {
	dst, at := begin(dst, len(message)+64)
	dst = append(dst, `{"event":"pusher:error","data":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = publication.AppendString(dst, message)
	return end(append(dst, "}}"...), at)
}

// AppendSubscribed appends pusher_internal:subscription_succeeded. A cursor that is not zero
// is that at which the subscription begins.
func AppendSubscribed(dst []byte, channel string, c log.Cursor) []byte {
	return appendInternalAt(dst, "pusher_internal:subscription_succeeded", channel, empty, c)
}

// AppendMembers is AppendSubscribed for a presence channel: with the members, whose clients
// begin with the namespace of the channel.
func AppendMembers(dst []byte, channel, namespace string, members []publication.Member, c log.Cursor) []byte {
	size := 64
	for _, m := range members {
		size += 2*len(m.Client) + len(m.Info) + 16
	}
	data := append(make([]byte, 0, size), `{"presence":{"ids":[`...)
	for i, m := range members {
		if i > 0 {
			data = append(data, ',')
		}
		data = publication.AppendString(data, strings.TrimPrefix(m.Client, namespace))
	}
	data = append(data, `],"hash":{`...)
	for i, m := range members {
		if i > 0 {
			data = append(data, ',')
		}
		data = publication.AppendString(data, strings.TrimPrefix(m.Client, namespace))
		data = append(data, ':')
		data = appendInfo(data, m.Info)
	}
	data = append(data, `},"count":`...)
	data = strconv.AppendInt(data, int64(len(members)), 10)
	return appendInternalAt(dst, "pusher_internal:subscription_succeeded", channel, append(data, "}}"...), c)
}

// AppendCount appends pusher_internal:subscription_count.
func AppendCount(dst []byte, channel string, subscribers int) []byte {
	data := append(make([]byte, 0, 40), `{"subscription_count":`...)
	data = strconv.AppendInt(data, int64(subscribers), 10)
	return appendInternal(dst, "pusher_internal:subscription_count", channel, append(data, '}'))
}

// AppendCacheMiss appends pusher:cache_miss.
func AppendCacheMiss(dst []byte, channel string) []byte {
	return appendInternal(dst, "pusher:cache_miss", channel, empty)
}

// AppendRefused appends pusher:subscription_error. kind is a word for programs, status that
// of HTTP.
func AppendRefused(dst []byte, channel, kind, message string, status int) []byte {
	data := append(make([]byte, 0, 64+len(message)), `{"type":"`...)
	data = append(data, kind...)
	data = append(data, `","error":`...)
	data = publication.AppendString(data, message)
	data = append(data, `,"status":`...)
	data = strconv.AppendInt(data, int64(status), 10)
	return appendInternal(dst, "pusher:subscription_error", channel, append(data, '}'))
}

// AppendSignedIn appends pusher:signin_success with user_data as the client has sent it.
func AppendSignedIn(dst, userData []byte) []byte {
	data := append(make([]byte, 0, 32+2*len(userData)), `{"user_data":`...)
	data = publication.AppendString(data, userData)
	return appendInternal(dst, "pusher:signin_success", "", append(data, '}'))
}

// AppendHeartbeat appends a ping without content, of which scripts do not hear.
func AppendHeartbeat(dst []byte, _ log.Cursor) []byte { return frame.AppendPing(dst, nil) }

// AppendGap appends peal:gap on the channel of g, whose data is the gap as in peal.v1.
// Clients that do not know it hand it to nobody.
func AppendGap(dst []byte, g ring.Gap, lineage *log.Lineage) []byte {
	g.Channel = app.Name(strings.TrimPrefix(g.Channel, log.PresencePrefix))
	return appendInternal(dst, "peal:gap", g.Channel, publication.AppendGap(make([]byte, 0, 256), g, lineage))
}

// AppendClose appends the end of a connection for a code of package frame, or of this
// package. retry is not said: clients have no field for it.
func AppendClose(dst []byte, code uint16, reason string, _ time.Duration) []byte {
	return frame.AppendClose(dst, CloseCode(code), reason)
}
