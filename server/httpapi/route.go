package httpapi

import (
	"bytes"
	"strings"

	"peal/loop"
)

// route is one row of the table of routes. Status 404, 405 with Allow, the
// responses to OPTIONS, and the limit of a body come from it.
type route struct {
	// pattern is a path as it is sent, which is compared byte by byte. Where it has
	// {channel}, the path has the name of a channel, percent-encoded and without a
	// slash.
	pattern string
	methods string // beside OPTIONS, as in Allow
	body    body
	serve   func(f *Front, c *loop.Call, r *routed)

	prefix, suffix string // of a pattern with {channel}
	allow          string // the value of Allow
}

// routed is a request whose route is known.
type routed struct {
	route   *route
	body    []byte
	channel []byte // in the path, percent-encoded
}

// body says which limit the body of a request has.
type body uint8

const (
	oneMessage   body = iota // MessageLimit; also where no body is expected
	manyMessages             // BatchLimit
)

// channelSegment stands for the name of a channel in a pattern.
const channelSegment = "{channel}"

// routes is the table. docs/http.md lists the same paths and methods.
var routes = newRoutes([]route{
	{pattern: "/", methods: "GET, HEAD", serve: (*Front).serveRoot},
	{pattern: "/ws", methods: "GET", serve: (*Front).serveWebSocket},
	{pattern: "/sse", methods: "GET, HEAD", serve: (*Front).serveSSE},
	{pattern: "/poll", methods: "GET, HEAD", serve: (*Front).servePoll},
	{pattern: "/publish", methods: "POST", serve: (*Front).servePublish},
	{pattern: "/publish/batch", methods: "POST", body: manyMessages, serve: (*Front).serveBatch},
	{pattern: "/disconnect", methods: "POST", serve: (*Front).serveDisconnect},
	{pattern: "/channels", methods: "GET, HEAD", serve: (*Front).serveChannels},
	{pattern: "/channels/{channel}", methods: "GET, HEAD", serve: (*Front).serveChannel},
	{pattern: "/channels/{channel}/history", methods: "GET, HEAD", serve: (*Front).serveHistory},
	{pattern: "/channels/{channel}/presence", methods: "GET, HEAD", serve: (*Front).servePresence},
	{pattern: clientPath, methods: "GET, HEAD", serve: (*Front).serveScript},
	{pattern: presencePath, methods: "GET, HEAD", serve: (*Front).serveScript},
	{pattern: sharePath, methods: "GET, HEAD", serve: (*Front).serveScript},
	{pattern: "*", methods: "GET, HEAD, POST"}, // only OPTIONS may have this target
})

// table is the routes, ready to be searched.
type table struct {
	byPath   map[string]*route
	patterns []*route // with {channel}
}

func newRoutes(rows []route) table {
	t := table{byPath: make(map[string]*route, len(rows))}
	for i := range rows {
		r := &rows[i]
		r.allow = r.methods + ", OPTIONS"
		var found bool
		if r.prefix, r.suffix, found = strings.Cut(r.pattern, channelSegment); found {
			t.patterns = append(t.patterns, r)
			continue
		}
		t.byPath[r.pattern] = r
	}
	return t
}

// find returns the route of a path, nil if there is none, and the name of the
// channel in it. It does not allocate.
func (t *table) find(path []byte) (r *route, channel []byte) {
	if r := t.byPath[string(path)]; r != nil {
		return r, nil
	}
	for _, r := range t.patterns {
		if channel, ok := r.match(path); ok {
			return r, channel
		}
	}
	return nil, nil
}

// match returns the segment that stands where the pattern has {channel}.
func (r *route) match(path []byte) (channel []byte, ok bool) {
	if len(path) <= len(r.prefix)+len(r.suffix) || string(path[:len(r.prefix)]) != r.prefix {
		return nil, false
	}
	cut := len(path) - len(r.suffix)
	if string(path[cut:]) != r.suffix {
		return nil, false
	}
	channel = path[len(r.prefix):cut]
	return channel, bytes.IndexByte(channel, '/') < 0
}

// has reports whether the route serves the method. OPTIONS is not served but
// answered from the table.
func (r *route) has(method []byte) bool {
	for rest := r.methods; rest != ""; {
		one, after, _ := strings.Cut(rest, ", ")
		if string(method) == one {
			return true
		}
		rest = after
	}
	return false
}

// limit is the largest body that a request on the route may have, and the error
// of a larger one. r is nil for a path that is not served.
func (f *Front) limit(r *route) (int, *Error) {
	if r != nil && r.body == manyMessages {
		return f.deps.BatchLimit, errBatchTooLarge
	}
	return f.deps.MessageLimit, errBodyTooLarge
}

// serve handles a whole request.
func (f *Front) serve(c *loop.Call, r *routed) {
	switch {
	case r.route == nil:
		f.refuse(c, errNotFound, "")
	case string(f.head.Method) == "OPTIONS":
		f.preflight(c, r.route.allow)
	case !r.route.has(f.head.Method):
		f.refuse(c, errMethodNotAllowed, "Allow: "+r.route.allow+"\r\n")
	default:
		r.route.serve(f, c, r)
	}
}

// serveRoot serves the page, or the WebSocket of the default channel.
func (f *Front) serveRoot(c *loop.Call, r *routed) {
	if f.head.Upgrade {
		f.serveWebSocket(c, r)
		return
	}
	f.serveAsset(c, f.page)
}

// channelOf returns the channel that the path names.
func (f *Front) channelOf(r *routed) (*name, error) {
	var decoded [maxName + 1]byte
	return f.names.get(unescape(decoded[:0], r.channel))
}

// unescape appends the percent-decoded b, at most one byte more than a name
// may have. A percent sign that begins no escape stands for itself.
func unescape(dst, b []byte) []byte {
	for i := 0; i < len(b) && len(dst) <= maxName; i++ {
		if b[i] == '%' && i+2 < len(b) && hexValue(b[i+1]) >= 0 && hexValue(b[i+2]) >= 0 {
			dst = append(dst, byte(hexValue(b[i+1])<<4|hexValue(b[i+2])))
			i += 2
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

// allowedHeaders are what pages may send where the preflight does not ask for
// others: nobody looks at those that are not known here, so all are allowed. Pages
// whose HTTP library adds one to each request (X-Requested-With, traceparent) have
// no say in it.
const allowedHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"

// maxRequestHeaders bounds what a preflight may ask for, in bytes.
const maxRequestHeaders = 2 << 10

// preflight answers OPTIONS (WHATWG Fetch, CORS protocol). A star would not do for
// Authorization, nor for who sends cookies.
func (f *Front) preflight(c *loop.Call, allow string) {
	extra := "Allow: " + allow + "\r\nVary: Access-Control-Request-Headers\r\n"
	if f.origin != noOrigin {
		headers := allowedHeaders
		if asked := f.joined("Access-Control-Request-Headers"); len(asked) > 0 && isTokenList(asked) {
			headers = string(asked)
		}
		extra += "Access-Control-Allow-Methods: " + allow + "\r\n" +
			"Access-Control-Allow-Headers: " + headers + "\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	f.reply(c, 204, "", extra, nil)
}

// isTokenList reports whether b is a list of header names that may be repeated in
// a response.
func isTokenList(b []byte) bool {
	if len(b) > maxRequestHeaders {
		return false
	}
	for _, c := range b {
		if !tokenByte[c] && c != ',' && c != ' ' {
			return false
		}
	}
	return true
}
