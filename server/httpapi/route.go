package httpapi

import (
	"bytes"
	"slices"
	"strings"

	"peal/server/mercure/subscription"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
)

// route is one row of the table of routes. Status 404, 405 with Allow, the
// responses to OPTIONS, and the limit of a body come from it.
type route struct {
	// pattern is a path as it is sent, which is compared byte by byte. Where it has a
	// word in braces, as {channel}, the path has a name, percent-encoded and without a slash.
	pattern string
	methods string // beside OPTIONS, as in Allow
	action  permit.Action
	signed  bool // its clients prove with a signature who they are, and not with a token or a key
	body    body
	serve   func(x *exchange)
	mercure bool                                       // clients prove who they are by x.deps.Mercure, and POST is Publish
	refuse  func(x *exchange, err *refusal.Error) bool // a connection that is here to be refused; nil, or false: an HTTP response says err

	allow string   // the value of Allow
	parts []string // behind the prefix of its branch, cut at slashes; "" for a name
}

// body says which limit the body of a request has.
type body uint8

const (
	oneMessage   body = iota // MessageLimit; also where no body is expected
	manyMessages             // BatchLimit
	oneForm                  // a message as a form, in which a byte may be three
)

// rows are the table. docs/http.md lists the same paths and methods.
func rows(s *shared) []route {
	subscribing, publishing := &subscribing{s}, &publishing{shared: s}
	looking, control, revoking, pages := &looking{s}, &control{s}, &revoking{s}, newPages()
	pushing, hub := &pushing{s}, newHub(s)
	return append([]route{
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
		{pattern: mercurePath, methods: "GET, HEAD, POST", action: permit.Subscribe, body: oneForm, mercure: true, serve: hub.serve, refuse: subscribing.refuseStream},
		{pattern: subscription.Path, methods: "GET, HEAD", action: permit.History, mercure: true, serve: hub.subscriptions(0)},
		{pattern: subscription.Path + "/{topic}", methods: "GET, HEAD", action: permit.History, mercure: true, serve: hub.subscriptions(1)},
		{pattern: subscription.Path + "/{topic}/{subscriber}", methods: "GET, HEAD", action: permit.History, mercure: true, serve: hub.subscriptions(2)},
		{pattern: "/app/{key}", methods: "GET", action: permit.Arrive, serve: pushing.webSocket, refuse: pushing.refuseSocket},
		{pattern: "/streams/{channel}", methods: "GET, HEAD", action: permit.Subscribe, serve: s.streams.stream},
		{pattern: clientPath, methods: "GET, HEAD", serve: pages.script},
		{pattern: presencePath, methods: "GET, HEAD", serve: pages.script},
		{pattern: sharePath, methods: "GET, HEAD", serve: pages.script},
		{pattern: "*", methods: "GET, HEAD, POST"}, // only OPTIONS may have this target
	}, slices.Concat(appRows(s), xhrRows(s))...)
}

// table is the routes, ready to be searched.
type table struct {
	byPath   map[string]*route
	last     *route   // of byPath: what was found last is looked for again and again
	branches []branch // of patterns with names
	notFound *refusal.Error
}

// branch is the routes whose patterns are the same up to their first name.
type branch struct {
	prefix string // ends with a slash
	routes []*route
}

// maxParts is how many parts a path may have behind the prefix of a branch.
const maxParts = 4

// segments are the names in a path, in their order, as they were sent.
type segments [maxParts][]byte

func newRoutes(s *shared) table {
	all := rows(s)
	t := table{byPath: make(map[string]*route, len(all))}
	var paths []string
	for i := range all {
		r := &all[i]
		r.allow = r.methods + ", OPTIONS"
		if t.add(r); r.parts == nil && r.action != permit.Arrive && r.pattern != "/" {
			paths = append(paths, r.pattern)
		}
	}
	t.notFound = &refusal.Error{Status: 404, Code: "not_found", Message: "unknown path; Peal serves " + strings.Join(paths, ", ")}
	return t
}

// add adds a route, to its branch if its pattern has a name.
func (t *table) add(r *route) {
	open := strings.IndexByte(r.pattern, '{')
	if open < 0 {
		t.byPath[r.pattern] = r
		return
	}
	prefix := r.pattern[:open]
	for part := range strings.SplitSeq(r.pattern[len(prefix):], "/") {
		if strings.HasPrefix(part, "{") {
			part = ""
		}
		r.parts = append(r.parts, part)
	}
	if len(r.parts) > maxParts {
		panic("httpapi: the pattern " + r.pattern + " has too many parts: raise maxParts")
	}
	i := slices.IndexFunc(t.branches, func(b branch) bool { return b.prefix == prefix })
	if i < 0 {
		i = len(t.branches)
		t.branches = append(t.branches, branch{prefix: prefix})
	}
	t.branches[i].routes = append(t.branches[i].routes, r)
}

// find returns the route of a path, nil if there is none, and puts the names of the path
// into found. It does not allocate.
func (t *table) find(path []byte, found *segments) *route {
	if r := t.last; r != nil && string(path) == r.pattern {
		return r
	}
	if r := t.byPath[string(path)]; r != nil {
		t.last = r
		return r
	}
	for i := range t.branches {
		b := &t.branches[i]
		if len(path) <= len(b.prefix) || string(path[:len(b.prefix)]) != b.prefix {
			continue
		}
		if r := b.find(path[len(b.prefix):], found); r != nil {
			return r
		}
	}
	return nil
}

// find is table.find for what follows the prefix.
func (b *branch) find(rest []byte, found *segments) *route {
	var parts segments
	n, more := 0, true
	for ; more && n < maxParts; n++ {
		parts[n], rest, more = bytes.Cut(rest, slash)
	}
	if more {
		return nil
	}
	for _, r := range b.routes {
		if r.matches(parts[:n], found) {
			return r
		}
	}
	return nil
}

var slash = []byte("/")

// matches reports whether the parts are those of the route; then found has the names.
func (r *route) matches(parts [][]byte, found *segments) bool {
	if len(parts) != len(r.parts) {
		return false
	}
	names := 0
	for i, want := range r.parts {
		switch {
		case want == "" && len(parts[i]) > 0:
			found[names] = parts[i]
			names++
		case want == "" || string(parts[i]) != want:
			return false
		}
	}
	return true
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
	case x.route.mercure && x.deps.Mercure == nil:
		x.refuse(errMercureOff)
	case x.route.mercure && !x.identifyMercure(), !x.route.mercure && !x.identify():
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
	return r.action != permit.Arrive && !r.signed && (r.pattern != "/" || x.head.Upgrade)
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
	return x.channels.Get(unescape(decoded[:0], x.segments[0]))
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
