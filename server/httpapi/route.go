package httpapi

import (
	"bytes"
	"strings"

	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
)

// route is one row of the table of routes. Status 404, 405 with Allow, the
// responses to OPTIONS, and the limit of a body come from it.
type route struct {
	// pattern is a path as it is sent, which is compared byte by byte. Where it has
	// {channel}, the path has the name of a channel, percent-encoded and without a
	// slash.
	pattern string
	methods string // beside OPTIONS, as in Allow
	action  permit.Action
	body    body
	serve   func(x *exchange)
	refuse  func(x *exchange, err *refusal.Error) bool // a connection that is here to be refused; nil, or false: an HTTP response says err

	prefix, suffix string // of a pattern with {channel}
	allow          string // the value of Allow
}

// body says which limit the body of a request has.
type body uint8

const (
	oneMessage   body = iota // MessageLimit; also where no body is expected
	manyMessages             // BatchLimit
)

// channelSegment stands for the name of a channel in a pattern.
const channelSegment = "{channel}"

// rows are the table. docs/http.md lists the same paths and methods.
func rows(s *shared) []route {
	subscribing, publishing := &subscribing{s}, &publishing{shared: s}
	looking, control, revoking, pages := &looking{s}, &control{s}, &revoking{s}, newPages()
	return []route{
		{pattern: "/", methods: "GET, HEAD", action: permit.Subscribe, serve: func(x *exchange) {
			if x.head.Upgrade {
				subscribing.webSocket(x)
				return
			}
			pages.page(x)
		}, refuse: subscribing.refuseSocket},
		{pattern: "/ws", methods: "GET", action: permit.Subscribe, serve: subscribing.webSocket, refuse: subscribing.refuseSocket},
		{pattern: "/sse", methods: "GET, HEAD", action: permit.Subscribe, serve: subscribing.eventStream, refuse: subscribing.refuseStream},
		{pattern: "/poll", methods: "GET, HEAD", action: permit.Subscribe, serve: subscribing.poll, refuse: subscribing.refusePoll},
		{pattern: "/publish", methods: "POST", action: permit.Publish, serve: publishing.message},
		{pattern: "/publish/batch", methods: "POST", action: permit.Publish, body: manyMessages, serve: publishing.batch},
		{pattern: "/disconnect", methods: "POST", action: permit.Disconnect, serve: control.disconnect},
		{pattern: "/revoke", methods: "POST", action: permit.Revoke, serve: revoking.revoke},
		{pattern: "/channels", methods: "GET, HEAD", action: permit.Inspect, serve: looking.channels},
		{pattern: "/channels/{channel}", methods: "GET, HEAD", action: permit.Inspect, serve: looking.channel},
		{pattern: "/channels/{channel}/history", methods: "GET, HEAD", action: permit.History, serve: looking.history},
		{pattern: "/channels/{channel}/presence", methods: "GET, HEAD", action: permit.Presence, serve: looking.presence},
		{pattern: clientPath, methods: "GET, HEAD", serve: pages.script},
		{pattern: presencePath, methods: "GET, HEAD", serve: pages.script},
		{pattern: sharePath, methods: "GET, HEAD", serve: pages.script},
		{pattern: "*", methods: "GET, HEAD, POST"}, // only OPTIONS may have this target
	}
}

// table is the routes, ready to be searched.
type table struct {
	byPath   map[string]*route
	patterns []*route // with {channel}
	notFound *refusal.Error
}

func newRoutes(s *shared) table {
	all := rows(s)
	t := table{byPath: make(map[string]*route, len(all))}
	var paths []string
	for i := range all {
		r := &all[i]
		r.allow = r.methods + ", OPTIONS"
		var found bool
		if r.prefix, r.suffix, found = strings.Cut(r.pattern, channelSegment); found {
			t.patterns = append(t.patterns, r)
			continue
		}
		t.byPath[r.pattern] = r
		if r.action != permit.Arrive && r.pattern != "/" {
			paths = append(paths, r.pattern)
		}
	}
	t.notFound = &refusal.Error{Status: 404, Code: "not_found", Message: "unknown path; Peal serves " + strings.Join(paths, ", ")}
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

// serve handles a whole request by its route, or without it.
func (t *table) serve(x *exchange) {
	switch {
	case x.route == nil:
		x.refuse(t.notFound)
	case string(x.head.Method) == "OPTIONS":
		x.preflight()
	case !x.route.has(x.head.Method):
		x.refuseWith(errMethodNotAllowed, "Allow: "+x.route.allow+"\r\n")
	case !x.route.identifies(x):
		x.route.serve(x)
	case !x.identify():
		// it waits
	case x.denied != nil && x.route.action != permit.Subscribe: // there it may have to be a close
		x.refuse(x.denied)
	default:
		x.channels.Of(x.principal().User())
		x.route.serve(x)
	}
}

// identifies reports whether it matters to the route which client asks.
func (r *route) identifies(x *exchange) bool {
	return r.action != permit.Arrive && (r.pattern != "/" || x.head.Upgrade)
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

// pathChannel returns the channel that the path names.
func (x *exchange) pathChannel() (*names.Name, *refusal.Error) {
	var decoded [names.MaxBytes + 1]byte
	x.channels.Reset(x.names, x.deps.ChannelLimit)
	return x.channels.Get(unescape(decoded[:0], x.segment))
}

// unescape appends the percent-decoded b, at most one byte more than a name
// may have. A percent sign that begins no escape stands for itself.
func unescape(dst, b []byte) []byte {
	for i := 0; i < len(b) && len(dst) <= names.MaxBytes; i++ {
		if b[i] == '%' && i+2 < len(b) && hexValue(b[i+1]) >= 0 && hexValue(b[i+2]) >= 0 {
			dst = append(dst, byte(hexValue(b[i+1])<<4|hexValue(b[i+2])))
			i += 2
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

// allowedHeaders are the headers that pages may send if the preflight requests no
// others. The server ignores unknown headers, so all are allowed: the HTTP libraries of
// pages add some to each request (X-Requested-With, traceparent).
const allowedHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"

// maxRequestHeaders bounds what a preflight may ask for, in bytes.
const maxRequestHeaders = 2 << 10

// preflight answers OPTIONS (WHATWG Fetch, CORS protocol). A star would not do for
// Authorization, nor for pages that send cookies.
func (x *exchange) preflight() {
	allow := x.route.allow
	extra := "Allow: " + allow + "\r\nVary: Access-Control-Request-Headers\r\n"
	if x.origin != noOrigin {
		headers := allowedHeaders
		if asked := x.joined("Access-Control-Request-Headers"); len(asked) > 0 && isTokenList(asked) {
			headers = string(asked)
		}
		extra += "Access-Control-Allow-Methods: " + allow + "\r\n" +
			"Access-Control-Allow-Headers: " + headers + "\r\n" +
			"Access-Control-Max-Age: 86400\r\n"
	}
	x.reply(204, "", extra, nil)
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
