package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"time"

	"github.com/valyala/fasthttp"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/ijson"
	"peal/server/log"
	"peal/server/presence"
	"peal/server/rules"
	"peal/server/share"
	"peal/server/wsproto"
)

// Publisher accepts publications: a log.Log. See there.
type Publisher interface {
	Lineage() *log.Lineage
	Resolve(c log.Cursor) (sequence uint64, ok bool)
	Append(batch []*log.Entry, done func(error)) error
}

// Directory tells about channels and their history: a hub.Hub. See there.
type Directory interface {
	fanout.Source
	Channel(name string) (hub.Info, bool)
	Channels(prefix, after string, limit int) []hub.Info
}

// Answerer brings an answer that was not ready when the request was handled to
// its connection, through the door of the connection's loop. out is a whole
// response and becomes the loop's. Whether the connection ends after it was
// said in loop.Call.Close. Any goroutine may call it, also before
// Front.Request has returned.
type Answerer interface {
	Answer(ref loop.Ref, out []byte)
}

// Dismisser ends connections on all loops: a loop.Group. See there.
type Dismisser interface {
	// Dismiss ends the connections that Front.Dismiss of their loop picks. It
	// reports false when too many calls, or too many of that share, are under way. done is called once, on any
	// goroutine, with how many there were.
	Dismiss(by share.Key, clients Clients, done func(ended int)) bool
}

// Deps is what a Front needs. All but the numbers are shared between Fronts.
type Deps struct {
	Log     Publisher
	Hub     Directory
	Door    Answerer
	Workers *Workers

	// Policy says who may talk to the server. nil: this machine.
	Policy *auth.Policy

	// Origins are those that have asked, by Policy. nil: a table of this Front's own,
	// which an Encoder must have too if it is to answer polls of pages.
	Origins *Origins

	// Keys are the idempotency keys that are remembered. nil: none; they are
	// published with the message and nothing more.
	Keys *idempotency.Table

	// Presence is who is on which channel. nil: nobody is listed.
	Presence *presence.Table

	// Dismisser ends the connections of clients. nil: none are found.
	Dismisser Dismisser

	// Bans are the clients that may not come back yet. nil: all may.
	Bans *ban.Table

	// Rules are those of single channels. nil: none.
	Rules *rules.Table

	// Access takes the lines of the access log, one a Write, which must not block
	// and keeps nothing. nil: none.
	Access io.Writer

	MessageLimit int // bytes of one publication; 0: 64 KiB
	WireLimit    int // bytes of one publication as it is sent; 0: no limit
	Limits
}

// DefaultChannel is used wherever a request names none.
const DefaultChannel = "main"

// Front implements loop.Front for one loop. All its memory is reused from
// request to request.
type Front struct {
	// Fixed at New.
	deps      Deps
	page      *asset            // of all Fronts
	scripts   map[string]*asset // by path; of all Fronts
	guestbook *presence.Table   // Deps.Presence; without it one that remembers names only

	// Loop-owned: used only during a call of Request or Message.
	head    Head
	routed  routed
	origin  uint16 // number of the head's Origin, once it is admitted
	header  fasthttp.RequestHeader
	parsed  bool              // header is that of the request under way
	awaited map[uint64]access // by session: requests whose response comes later, with an access log
	line    []byte            // of the access log
	args    fasthttp.Args     // of the query
	form    fasthttp.Args     // of a form in the body
	reader  *bufio.Reader     // feeds header from source
	source  bytes.Reader
	chunks  []byte // content of a chunked body
	json    ijson.Reader
	parser  wsproto.Parser
	texts   [][]byte // channels in a JSON body
	names   names
	by      share.Key                  // whose share the request uses
	visitor visitor                    // who sent the request
	guests  map[uint64]*presence.Guest // by session: connections with a name
	sitting []string                   // channels that a guest is listed on
	picked  []*name                    // channels of the request
	has     []string                   // channels of a peal.v1 client
	pending *pending                   // for the next publication
	partial loop.Partial               // where the loop keeps none
	looked  uint64                     // bytes of heads and chunked bodies that were looked at, each time they were
	clock   clock
	counts  counts
}

// New returns a Front. Each loop needs its own; they share deps.
func New(deps Deps) *Front {
	if deps.Policy == nil {
		deps.Policy = &auth.Policy{}
	}
	if deps.Origins == nil {
		deps.Origins = NewOrigins(deps.Policy)
	}
	if deps.MessageLimit == 0 {
		deps.MessageLimit = 64 << 10
	}
	if deps.WireLimit == 0 {
		deps.WireLimit = math.MaxInt
	}
	if deps.Rules == nil {
		deps.Rules = rules.New(nil, rules.Rule{})
	}
	deps.Limits = deps.Limits.WithDefaults()
	f := &Front{deps: deps, page: page(), scripts: scripts(), names: newNames(deps.Rules), counts: newCounts(), guests: map[uint64]*presence.Guest{}, awaited: map[uint64]access{}, guestbook: deps.Presence}
	if f.guestbook == nil {
		f.guestbook = presence.New(presence.Config{}, func(string) bool { return false }, time.Now)
	}
	f.reader = bufio.NewReaderSize(&f.source, deps.HeadLimit)
	return f
}

var _ loop.Front = (*Front)(nil)

// Request implements loop.Front.
func (f *Front) Request(c *loop.Call) {
	if f.deps.Access == nil {
		f.request(c)
		return
	}
	began, before := time.Now(), len(c.Out)
	f.request(c)
	f.logAccess(c, began, before)
}

func (f *Front) request(c *loop.Call) {
	f.parsed = false
	c.Used, c.Need, c.Verdict, c.Close, c.Sub, c.Work = 0, 0, loop.More, false, nil, 0
	f.origin = noOrigin
	p := c.Partial
	if p == nil {
		f.partial = loop.Partial{}
		p = &f.partial
	}
	if !c.Ended && !c.Late && f.wait(p, c) {
		return
	}
	headEnd, err := f.head.Check(c.In, f.deps.HeadLimit)
	f.looked += uint64(max(headEnd, min(len(c.In), f.deps.HeadLimit)))
	if err == nil && headEnd == 0 {
		p.Checked = uint32(len(c.In))
		f.unfinished(c)
		return
	}
	if err == nil {
		err = f.admit(&f.head)
	}
	if err != nil {
		f.refuseAndClose(c, err)
		return
	}

	r := &f.routed
	*r = routed{}
	r.route, r.channel = routes.find(f.head.Path)
	limit, tooLarge := f.limit(r.route)
	p.Head = uint32(headEnd)
	body, end, need, err := f.body(&f.head, p, c.In, limit)
	switch {
	case errors.Is(err, errBodyTooLarge):
		f.refuseAndClose(c, tooLarge)
		return
	case err != nil:
		f.refuseAndClose(c, err)
		return
	case end == 0 && (c.Ended || c.Late):
		f.unfinished(c)
		return
	case end == 0:
		c.Need = need
		// A body that has begun to come needs no invitation (RFC 9110 §10.1.1).
		if f.head.Continue && !c.Continued && len(c.In) == headEnd {
			c.Out = append(c.Out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		}
		return
	}

	c.Used, f.by = end, share.Of(c.Peer.Addr(), c.Session)
	f.head.Close = f.head.Close || c.Draining
	if err := f.parse(c.In[f.head.Start:headEnd]); err != nil {
		f.refuseAndClose(c, errUnparsed)
		return
	}
	f.parsed = true
	r.body = body
	f.serve(c, r)
	f.shrink()
}

// unfinished waits for the rest of a request, unless there will be none.
func (f *Front) unfinished(c *loop.Call) {
	switch {
	case !c.Ended && !c.Late || len(bytes.Trim(c.In, "\r\n")) == 0: // empty lines are none (RFC 9112 §2.2)
	case c.Ended:
		f.refuseAndClose(c, errEnded)
	default:
		f.refuseAndClose(c, errLate)
	}
}

// wait reports whether In cannot be a whole request yet, by what is new of it:
// then it has said so in c. Bytes that come one at a time are looked at twice on
// the average, not once for each that follows.
func (f *Front) wait(p *loop.Partial, c *loop.Call) bool {
	switch {
	case p.Head > 0 && p.Line > 0: // chunked
		end, need, err := f.scanChunks(p, c.In)
		c.Need = need
		return end == 0 && err == nil
	case p.Head > 0 || p.Checked == 0 || len(c.In) >= 2*int(p.Checked) || len(c.In) >= f.deps.HeadLimit:
		return false
	}
	from := max(int(max(p.Checked, p.Sought))-len("\n\r"), 0)
	f.looked += uint64(len(c.In) - from)
	fresh := c.In[from:]
	if bytes.Contains(fresh, endOfHead) || bytes.Contains(fresh, bareEnd) {
		return false
	}
	p.Sought = uint32(len(c.In))
	return true
}

var endOfHead, bareEnd = []byte("\n\r\n"), []byte("\n\n")

// admit refuses requests by whom they are for and where they come from, before
// their body is waited for.
func (f *Front) admit(h *Head) error {
	switch f.deps.Policy.Judge(auth.Request{Host: h.Host, Origin: h.Origin}, false) {
	case auth.ForeignHost:
		return errForeignHost
	case auth.ForeignOrigin:
		return errForeignOrigin
	}
	f.origin = f.deps.Origins.number(h.Origin)
	switch {
	case h.Expectation:
		return errExpectation
	}
	return nil
}

// parse has fasthttp read a head that has passed the check. The header copies
// what it keeps.
func (f *Front) parse(head []byte) error {
	f.source.Reset(head)
	f.reader.Reset(&f.source)
	return f.header.Read(f.reader)
}

// maxKept bounds the memory that a Front keeps from one request to the next.
const maxKept = 256 << 10

func (f *Front) shrink() {
	if cap(f.chunks) > maxKept {
		f.chunks = nil
	}
}
