package httpapi

import (
	"bytes"
	"encoding/hex"
	"io"
	"strconv"
	"time"

	"peal/loop"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/tracecontext"
)

// The access log: a line of JSON for each request that was handled.
//
//	{"time","client"?,"session","method","path","agent"?,"trace"?,"status","bytes","cursor"?,"seconds"}
//
// session is the number of the connection's session, as in other logs and in traces; trace the trace id of a valid traceparent,
// cursor that of what was published, or with which a poll goes on.
//
// A response that comes later has its line then. Event streams and WebSockets have
// theirs when they begin. Refused heads have what could be read of them.

// accessLog writes the lines of one loop.
type accessLog struct {
	out     io.Writer         // nil: off
	awaited map[uint64]access // by session: requests whose response comes later
	line    []byte            // memory
}

func newAccessLog(out io.Writer) accessLog {
	return accessLog{out: out, awaited: map[uint64]access{}}
}

// access is a request that is being handled, or whose response comes later.
type access struct {
	line   []byte // up to the status
	began  time.Time
	before int // bytes of Out that are not its response
}

// Bytes of what a client can make as long as it likes.
const (
	maxLoggedPath  = 1 << 10
	maxLoggedAgent = 200
)

// closedStatus stands for a client that left before its response came.
const closedStatus = 499

// begin remembers what was there before the request.
func (l *accessLog) begin(c *loop.Call) access { return access{began: time.Now(), before: len(c.Out)} }

// end logs the request of x, or remembers it until its response comes.
func (l *accessLog) end(x *exchange, a access) {
	switch c := x.call; c.Verdict {
	case loop.More, loop.Wait:
	case loop.Later, loop.Park:
		a.line = x.appendAccess(nil, a.began)
		l.awaited[c.Session] = a
	default:
		a.line = x.appendAccess(l.line[:0], a.began)
		l.line = l.write(a, c.Out[a.before:])
	}
}

// responded logs a request whose response has come.
func (l *accessLog) responded(session uint64, response []byte) {
	if a, ok := l.awaited[session]; ok {
		delete(l.awaited, session)
		l.write(a, response)
	}
}

// write writes the line of a and returns it.
func (l *accessLog) write(a access, response []byte) []byte {
	line := appendAccessEnd(a.line, response, a.began)
	_, _ = l.out.Write(line) // never fails
	return line
}

// appendAccess appends the line up to what is known of the response.
func (x *exchange) appendAccess(dst []byte, began time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = began.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, '"')
	if a := x.client; a.IsValid() {
		dst = append(dst, `,"client":"`...)
		if a.Port() == 0 { // the proxy did not say
			dst = a.Addr().AppendTo(dst)
		} else {
			dst = a.AppendTo(dst)
		}
		dst = append(dst, '"')
	}
	dst = append(dst, `,"session":`...)
	dst = strconv.AppendUint(dst, x.call.Session, 10)
	dst = append(dst, `,"method":`...)
	dst = publication.AppendString(dst, x.head.Method)
	dst = append(dst, `,"path":`...)
	dst = publication.AppendString(dst, x.loggedPath())
	if x.raw != nil {
		if agent := x.lines().UserAgent(); len(agent) > 0 {
			dst = append(dst, `,"agent":`...)
			dst = publication.AppendString(dst, agent[:min(len(agent), maxLoggedAgent)])
		}
		if p, ok := tracecontext.Parse(x.rareOne(tracecontext.Header)); ok {
			dst = append(dst, `,"trace":"`...)
			dst = append(hex.AppendEncode(dst, p.Trace[:]), '"')
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
	dst = appendCursor(dst, response)
	dst = append(dst, `,"seconds":`...)
	dst = strconv.AppendFloat(dst, time.Since(began).Seconds(), 'f', 6, 64)
	return append(dst, "}\n"...)
}

// appendCursor appends the cursor with which a body of JSON begins, if there is one.
func appendCursor(dst, response []byte) []byte {
	_, body, _ := bytes.Cut(response, []byte("\r\n\r\n"))
	rest, ok := bytes.CutPrefix(body, []byte(`{"cursor":"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end <= 0 {
		return dst
	}
	if _, err := log.ParseCursor(rest[:end]); err != nil {
		return dst
	}
	dst = append(dst, `,"cursor":"`...)
	return append(append(dst, rest[:end]...), '"')
}

// loggedPath is the path with the parameters whose values are no secrets; of
// others, tokens among them, there is only the name. What stands alone has no name:
// it may be a token (?eyJhbGci…).
func (x *exchange) loggedPath() []byte {
	path := hideSession(append([]byte(nil), x.head.Path...))
	for i, rest := 0, x.head.Query; len(rest) > 0; i++ {
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
	path = hideProofs(path)
	return path[:min(len(path), maxLoggedPath)]
}

// hideSession replaces the name of a session over plain HTTP, which others could send
// with. path is overwritten.
func hideSession(path []byte) []byte {
	if !bytes.HasPrefix(path, []byte("/pusher/app/")) {
		return path
	}
	end := bytes.LastIndexByte(path, '/')
	begin := bytes.LastIndexByte(path[:end], '/') + 1
	return append(append(path[:begin], '-'), bytes.Clone(path[end:])...)
}

// hideProofs replaces what looks like a token or a key, wherever it is: in the path, in
// the name of a parameter, or in a value that is logged. path is overwritten.
func hideProofs(path []byte) []byte {
	shown := path[:0]
	for i := 0; i < len(path); {
		n := proofLen(path[i:])
		if n == 0 {
			shown = append(shown, path[i])
			i++
			continue
		}
		shown = append(shown, '-')
		i += n
	}
	return shown
}

// minProof is the length from which a text may be a token or key.
const minProof = 20

// proofLen is the length of the token or key with which b seems to begin, 0 for none.
func proofLen(b []byte) (n int) {
	if !bytes.HasPrefix(b, []byte("eyJ")) && !bytes.HasPrefix(b, []byte("peal_")) { // eyJ is {" in base64
		return 0
	}
	for n < len(b) && (isBase64(b[n]) || b[n] == '.') {
		n++
	}
	if n < minProof {
		return 0
	}
	return n
}

// isBase64 reports whether c is a character of base64url.
func isBase64(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_'
}

// cutSecond cuts a value, not yet unescaped, behind the first byte that could begin
// another parameter in it, escaped or not: a client that appends "?token=…" to a URL
// that has a query, or ";token=…", or escapes the & before it, gives the token to the
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
