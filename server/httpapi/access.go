package httpapi

import (
	"bytes"
	"strconv"
	"time"

	"peal/loop"
	"peal/server/publication"
)

// The access log: a line of JSON for each request that was handled.
//
//	{"time","client"?,"method","path","agent"?,"status","bytes","seconds"}
//
// A response that comes later has its line then. Event streams and WebSockets have
// theirs when they begin. Refused heads have what could be read of them.

// access is a request whose response comes later.
type access struct {
	line  []byte // up to the status
	began time.Time
}

var _ loop.Observer = (*Front)(nil)

// Bytes of what a client can make as long as it likes.
const (
	maxLoggedPath  = 1 << 10
	maxLoggedAgent = 200
)

// closedStatus stands for a client that left before its response came.
const closedStatus = 499

// logAccess logs the request that c is about, whose response begins at
// c.Out[before:], or remembers it until that comes.
func (f *Front) logAccess(c *loop.Call, began time.Time, before int) {
	switch c.Verdict {
	case loop.More:
	case loop.Later, loop.Park:
		f.awaited[c.Session] = access{f.appendAccess(nil, c, began), began}
	default:
		f.line = appendAccessEnd(f.appendAccess(f.line[:0], c, began), c.Out[before:], began)
		_, _ = f.deps.Access.Write(f.line) // never fails
	}
}

// Responded implements loop.Observer.
func (f *Front) Responded(session uint64, response []byte) {
	if a, ok := f.awaited[session]; ok {
		delete(f.awaited, session)
		_, _ = f.deps.Access.Write(appendAccessEnd(a.line, response, a.began)) // never fails
	}
}

// appendAccess appends the line up to what is known of the response.
func (f *Front) appendAccess(dst []byte, c *loop.Call, began time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = began.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, '"')
	if c.Peer.IsValid() {
		dst = append(dst, `,"client":"`...)
		dst = c.Peer.AppendTo(dst)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"method":`...)
	dst = publication.AppendString(dst, f.head.Method)
	dst = append(dst, `,"path":`...)
	dst = publication.AppendString(dst, f.loggedPath())
	if f.parsed {
		if agent := f.header.UserAgent(); len(agent) > 0 {
			dst = append(dst, `,"agent":`...)
			dst = publication.AppendString(dst, agent[:min(len(agent), maxLoggedAgent)])
		}
	}
	return dst
}

func appendAccessEnd(dst, response []byte, began time.Time) []byte {
	status := closedStatus
	if len(response) > len("HTTP/1.1 200") {
		if n, err := strconv.Atoi(string(response[len("HTTP/1.1 "):len("HTTP/1.1 200")])); err == nil {
			status = n
		}
	}
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(len(response)), 10)
	dst = append(dst, `,"seconds":`...)
	dst = strconv.AppendFloat(dst, time.Since(began).Seconds(), 'f', 6, 64)
	return append(dst, "}\n"...)
}

// loggedPath is the path with the parameters whose values are no secrets; of
// others, tokens among them, there is only the name. What stands alone has no name:
// it may be a token (?eyJhbGci…).
func (f *Front) loggedPath() []byte {
	path := append([]byte(nil), f.head.Path...)
	for i, rest := 0, f.head.Query; len(rest) > 0; i++ {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte{'&'})
		if i == 0 {
			path = append(path, '?')
		} else {
			path = append(path, '&')
		}
		key, value, found := bytes.Cut(pair, []byte{'='})
		if !found && len(pair) > 0 {
			path = append(path, '-')
			continue
		}
		path = append(path, key...)
		if !found {
			continue
		}
		path = append(path, '=')
		if !isLogged(key) {
			path = append(path, '-')
			continue
		}
		before, hidden := cutSecond(value)
		path = append(path, before...)
		if hidden {
			path = append(path, '-')
		}
	}
	return path[:min(len(path), maxLoggedPath)]
}

// cutSecond cuts a value, not yet unescaped, behind the first byte that could begin
// another parameter in it, escaped or not: who appends "?token=…" to a URL that has
// a query, or ";token=…", or escapes the & before it, gives the token to the
// parameter before.
func cutSecond(value []byte) (before []byte, hidden bool) {
	for i, c := range value {
		switch {
		case c == '?', c == ';', c == '=', c == '#':
			return value[:i+1], true
		case c == '%' && isSeparatorEscape(value[i+1:]):
			return value[:i+3], true
		}
	}
	return value, false
}

// isSeparatorEscape reports whether the two digits behind a % stand for one of #&;=?
// or for a % that may escape one of these in its turn.
func isSeparatorEscape(digits []byte) bool {
	if len(digits) < 2 {
		return false
	}
	switch string(bytes.ToUpper(digits[:2])) {
	case "23", "25", "26", "3B", "3D", "3F":
		return true
	}
	return false
}

// isLogged reports whether the values of a parameter may be in the access log. All
// that is not known to be harmless is not.
func isLogged(key []byte) bool {
	switch string(key) {
	case "channel", "cursor", "last_event_id", "lastEventId", "lastEventID", "Last-Event-ID", "last", "format", "timeout", "event",
		"prefix", "after", "limit", "client", "presence", "gap", "for":
		return true
	}
	return isChannelKey(key) || isElementKey(key, "client[")
}
