package httpapi

import (
	"sync"
	"sync/atomic"

	"peal/server/auth"
)

// What the pages of other origins may read (WHATWG Fetch, CORS protocol).
const (
	// exposeHead names the headers that scripts are shown beside the common ones.
	exposeHead = "Access-Control-Expose-Headers: Peal-Cursor, Peal-Event, Peal-Gap, Peal-Session, Last-Event-ID, Idempotency-Replayed, Retry-After\r\n"

	// anybodyHead is for pages that may read without cookies: of any origin, on a
	// server that is open. Browsers do not accept the star for requests with cookies.
	anybodyHead = "Access-Control-Allow-Origin: *\r\n" + exposeHead
)

// Limits of Origins.
const (
	maxOrigins = 4096 // with a number, beside those that the operator listed: about 2 MB
	maxOrigin  = 255  // bytes of one; a longer one is answered as if it were not trusted
	maxNumber  = 1<<16 - 1
)

// Origins are the trusted origins that have asked, each with the header lines
// for its pages, made once. The response to a poll is written long after the
// request, by an encoder that does not know it: until then the poll keeps a number. All Fronts and their Encoder
// share one.
//
// An origin beyond maxOrigins gets no number: its polls are answered as if it were
// not trusted. An origin that the operator listed by name always gets one, so that
// requests with invented origins, of this machine or below a wildcard, cannot take
// its place.
type Origins struct {
	// Shared. Reloading stores policy; what was numbered before and is not trusted
	// any more keeps its number, which nobody is given again.
	policy atomic.Pointer[auth.Policy]

	// Shared. Numbers are given under mu and never change; heads grows at its end,
	// and a goroutine that loads it reads what was there before.
	mu      sync.Mutex
	numbers map[string]uint16
	listed  int                      // of numbers: those that were listed by name
	heads   atomic.Pointer[[]string] // by number
}

// noOrigin and anybody are the first numbers.
const (
	noOrigin uint16 = iota
	anybody
)

// NewOrigins returns the table for one policy.
func NewOrigins(p *auth.Policy) *Origins {
	o := &Origins{numbers: map[string]uint16{}}
	o.policy.Store(p)
	o.heads.Store(&[]string{"", anybodyHead})
	return o
}

// Use replaces the policy. Any goroutine may call it.
func (o *Origins) Use(p *auth.Policy) { o.policy.Store(p) }

// admit returns the number of an origin that may use the server, nil for none, and
// the header lines for the responses to its pages. Any goroutine may call it. It
// allocates for an origin that has no number yet.
func (o *Origins) admit(origin []byte) (number uint16, head string) {
	p := o.policy.Load()
	switch {
	case origin == nil:
		return noOrigin, ""
	case len(origin) > maxOrigin || !p.Trusts(origin):
		return anybody, anybodyHead
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	heads := *o.heads.Load()
	if n, ok := o.numbers[string(origin)]; ok {
		return n, heads[n]
	}
	text, listed := string(origin), p.Lists(origin)
	head = "Access-Control-Allow-Origin: " + text + "\r\nAccess-Control-Allow-Credentials: true\r\n" + exposeHead
	if len(heads) > maxNumber || !listed && len(o.numbers)-o.listed >= maxOrigins {
		return anybody, head
	}
	heads = append(heads, head)
	number = uint16(len(heads) - 1)
	o.numbers[text] = number
	if listed {
		o.listed++
	}
	o.heads.Store(&heads)
	return number, head
}

// head returns the header lines for the pages of an origin. Any goroutine may
// call it; it takes no lock.
func (o *Origins) head(number uint16) string {
	if o == nil {
		return ""
	}
	return (*o.heads.Load())[number]
}
