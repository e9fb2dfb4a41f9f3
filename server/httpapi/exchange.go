package httpapi

import (
	"bufio"
	"bytes"
	"net/netip"

	"github.com/valyala/fasthttp"

	"peal/loop"
	"peal/server/grant"
	"peal/server/ijson"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/share"
)

// exchange is one request and the response to it: HTTP itself. Its head and body
// are read here, and its response is written here (response.go); what it means is
// for the rooms. A Front has one, whose memory is used again for each request;
// what outlives the request is given to others by value.
type exchange struct {
	*shared
	call     *loop.Call
	progress *loop.Partial // of reading it

	// Of the request, as it is read.
	head     Head
	origin   uint16   // number of the head's Origin, once it is admitted
	cors     string   // header lines for the pages of it
	route    *route   // nil: the path is not served
	segments segments // the names in the path, percent-encoded
	body     []byte
	raw      []byte                 // the head behind empty lines, once it was taken; nil before
	header   fasthttp.RequestHeader // use lines and what is beside it
	parsed   bool                   // header is that of the request under way
	client   netip.AddrPort         // who sent it: Call.Peer, or who is behind a trusted proxy; not valid for a Unix socket
	https    bool                   // it left the client over TLS, as far as is known
	by       share.Key
	grant    *grant.Grant   // what the client has proven; nil: nothing
	denied   *refusal.Error // why its token or key is none

	// Of the request, as its handler reads it (params.go, fields.go).
	args     fasthttp.Args // of the query
	form     fasthttp.Args // of a form in the body
	json     ijson.Reader
	params   params
	channels names.Set      // that it names
	asked    permit.Request // what package permit decides: arrive, then request

	// Memory.
	authorization [1][]byte
	reader        *bufio.Reader // feeds header from source
	source        bytes.Reader
	chunks        chunks
	partial       loop.Partial // where the loop keeps none

	inquiries inquiries
	pending   pendings
	looked    uint64 // bytes of heads that were looked at, each time they were
}

func newExchange(s *shared) *exchange {
	x := &exchange{shared: s, inquiries: inquiries{}, pending: pendings{bySlot: map[uint32]*pending{}}}
	x.reader = bufio.NewReaderSize(&x.source, s.deps.HeadLimit)
	return x
}

// begin makes x the exchange of a call.
func (x *exchange) begin(c *loop.Call) {
	x.call, x.raw, x.parsed, x.origin, x.cors = c, nil, false, noOrigin, ""
	x.grant, x.denied = nil, nil
	x.client, x.https = c.Peer, c.Secure
	x.channels.Of("")
	c.Used, c.Need, c.Verdict, c.Close, c.Sub, c.Work = 0, 0, loop.More, false, nil, 0
	if x.progress = c.Partial; x.progress == nil {
		x.partial = loop.Partial{}
		x.progress = &x.partial
	}
}

// readHead reports whether the head is there and the request may come in. If not,
// and it is not refused, the call says what is waited for.
func (x *exchange) readHead() (ready bool, err *refusal.Error) {
	c, limit := x.call, x.deps.HeadLimit
	if !c.Ended && !c.Late && x.mustWait() {
		return false, nil
	}
	end, err := x.head.Check(c.In, limit)
	x.looked += uint64(max(end, min(len(c.In), limit)))
	if err != nil {
		return false, x.unlessProxied(err)
	}
	if end == 0 {
		x.progress.Checked = uint32(len(c.In))
		return false, x.unfinished()
	}
	x.progress.Head = uint32(end)
	if err := x.findClient(c.In[x.head.Start:end]); err != nil {
		return false, err
	}
	if err := x.gate.Decide(x.arrive()); err != nil {
		return false, err
	}
	x.origin, x.cors = x.deps.Origins.admit(x.head.Origin)
	if x.head.Expectation {
		return false, errExpectation
	}
	return true, nil
}

// unfinished refuses the request if its rest will not come.
func (x *exchange) unfinished() *refusal.Error {
	c := x.call
	switch {
	case !c.Ended && !c.Late || len(bytes.Trim(c.In, "\r\n")) == 0: // empty lines are none (RFC 9112 §2.2)
		return nil
	case c.Ended:
		return errEnded
	}
	return errLate
}

// mustWait reports whether In cannot be a whole request yet, by what is new of it:
// then it has said so in the call. Bytes that come one at a time are looked at twice
// on the average, not once for each that follows.
func (x *exchange) mustWait() bool {
	c, p := x.call, x.progress
	switch {
	case p.Head > 0 && p.Line > 0: // chunked
		end, need, err := x.chunks.scan(p, c.In)
		c.Need = need
		return end == 0 && err == nil
	case p.Head > 0 || p.Checked == 0 || len(c.In) >= 2*int(p.Checked) || len(c.In) >= x.deps.HeadLimit:
		return false
	}
	from := max(int(max(p.Checked, p.Sought))-len("\n\r"), 0)
	x.looked += uint64(len(c.In) - from)
	fresh := c.In[from:]
	if bytes.Contains(fresh, endOfHead) || bytes.Contains(fresh, bareEnd) {
		return false
	}
	p.Sought = uint32(len(c.In))
	return true
}

var endOfHead, bareEnd = []byte("\n\r\n"), []byte("\n\n")

// readBody reports whether the body is there, and has the head parsed if it is not plain. If not, and
// the request is not refused, the call says what is waited for.
func (x *exchange) readBody() (ready bool, err *refusal.Error) {
	c, headEnd := x.call, int(x.progress.Head)
	limit, tooLarge := x.bodyLimit()
	content, end, need, err := x.chunks.body(&x.head, x.progress, c.In, limit)
	if err == errBodyTooLarge {
		err = tooLarge
	}
	if err != nil {
		return false, err
	}
	if end == 0 {
		if c.Ended || c.Late {
			return false, x.unfinished()
		}
		c.Need = need
		// A body that has begun to come needs no invitation (RFC 9110 §10.1.1).
		if x.head.Continue && !c.Continued && len(c.In) == headEnd {
			c.Out = append(c.Out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		}
		return false, nil
	}
	c.Used, x.body, x.by = end, content, share.Of(x.client.Addr(), c.Session)
	x.head.Close = x.head.Close || c.Draining
	if x.take(c.In[x.head.Start:headEnd]) != nil {
		return false, errUnparsed
	}
	return true, nil
}

// bodyLimit is the largest body that the request may have, and the error of a
// larger one.
func (x *exchange) bodyLimit() (int, *refusal.Error) {
	if x.route != nil && x.route.body == manyMessages {
		return x.deps.BatchLimit, errBatchTooLarge
	}
	if x.route != nil && x.route.body == oneForm { // what is decoded is judged by permit.Gate
		return max(x.deps.MessageLimit, min(x.deps.BatchLimit, 3*x.deps.MessageLimit+formOverhead)), errBodyTooLarge
	}
	return x.deps.MessageLimit, errBodyTooLarge
}

// take makes a head that has passed the check the one of lines. It is parsed at once unless it is plain.
func (x *exchange) take(head []byte) error {
	if !x.head.Plain {
		if err := x.parse(head); err != nil {
			return err
		}
		x.parsed = true
	}
	x.raw = head
	return nil
}

// parse has fasthttp read a head that has passed the check. The header copies
// what it keeps.
func (x *exchange) parse(head []byte) error {
	x.source.Reset(head)
	x.reader.Reset(&x.source)
	return x.header.Read(x.reader)
}

// maxKept bounds the memory that an exchange keeps from one request to the next.
const maxKept = 256 << 10

func (x *exchange) shrink() {
	if cap(x.chunks.content) > maxKept {
		x.chunks.content = nil
	}
}

// arrive is what is known of the request by its head alone, as package permit
// decides it.
func (x *exchange) arrive() *permit.Request {
	x.asked = permit.Request{Action: permit.Arrive}
	f := &x.asked.From // in place: it is large, and all requests come by here
	f.Peer, f.Transport, f.Host, f.Origin, f.Site, f.HTTPS = x.client, permit.HTTP, x.head.Host, x.head.Origin, x.head.Site, x.https
	x.asked.Effect = !isSafe(x.head.Method)
	return &x.asked
}

// isSafe reports whether requests of that method only read (RFC 9110 §9.2.1).
func isSafe(method []byte) bool {
	return string(method) == "GET" || string(method) == "HEAD" || string(method) == "OPTIONS"
}

// principal is the client.
func (x *exchange) principal() *permit.Principal {
	w := &x.asked.Who
	w.Grant, w.Session, w.Share, w.Behind = x.grant, x.call.Session, x.by, x.call.Client.IsValid()
	return w
}

// request is what the client asks for, with the channels that it names. It is the
// value of arrive, and its caller adds what the action needs besides.
func (x *exchange) request() *permit.Request {
	q := &x.asked
	q.Action, q.Channels = x.route.action, x.channels.List()
	x.principal()
	if x.gate.Ask.IsActive() {
		x.bring(q)
	}
	return q
}

// permits reports whether the client may do what it asks for. If not, it has been
// refused, or waits for the backend.
func (x *exchange) permits(q *permit.Request) bool {
	err := x.gate.Decide(q)
	if err != nil && !x.asks(err) {
		x.refuse(err)
	}
	return err == nil
}

// joined returns the value of a header, of several lines as one list.
func (x *exchange) joined(key string) []byte {
	values := x.lines().PeekAll(key)
	if len(values) == 1 {
		return values[0]
	}
	return bytes.Join(values, []byte(", "))
}
