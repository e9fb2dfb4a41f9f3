package httpapi

import (
	"sync"
	"sync/atomic"

	"peal/server/auth"
)

// What the pages of other origins may read (WHATWG Fetch, CORS protocol).
const (
	// exposeHead names the headers that scripts are shown beside the common ones.
	exposeHead = "Access-Control-Expose-Headers: Peal-Cursor, Peal-Event, Peal-Gap, Last-Event-ID, Idempotency-Replayed, Retry-After\r\n"

	// anybodyHead is for pages that may read without cookies: of any origin, on a
	// server that is open. Browsers do not accept the star for requests with cookies.
	anybodyHead = "Access-Control-Allow-Origin: *\r\n" + exposeHead
)

// Limits of Origins. Beyond them a page is answered as if it were not trusted.
const (
	maxOrigins = 4096 // about 2 MB
	maxOrigin  = 255  // bytes
)

// Origins are the trusted origins that have asked, each with the header lines
// for its pages, made once. The response to a poll is written long after the
// request, by an encoder that does not know it: until then the poll keeps a number. All Fronts and their Encoder
// share one.
type Origins struct {
	// Shared. Reloading stores policy; what was numbered before and is not trusted
	// any more keeps its number, which nobody is given again.
	policy atomic.Pointer[auth.Policy]

	// Shared. Numbers are given under mu and never change; heads grows at its end,
	// and a goroutine that loads it reads what was there before.
	mu      sync.Mutex
	numbers map[string]uint16
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

// number returns that of an origin that was admitted, nil for none. Any goroutine
// may call it.
func (o *Origins) number(origin []byte) uint16 {
	switch {
	case origin == nil:
		return noOrigin
	case len(origin) > maxOrigin || !o.policy.Load().Trusts(origin):
		return anybody
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, ok := o.numbers[string(origin)]; ok {
		return n
	}
	heads := *o.heads.Load()
	if len(heads) >= maxOrigins {
		return anybody
	}
	text := string(origin)
	heads = append(heads, "Access-Control-Allow-Origin: "+text+"\r\nAccess-Control-Allow-Credentials: true\r\n"+exposeHead)
	o.numbers[text] = uint16(len(heads) - 1)
	o.heads.Store(&heads)
	return o.numbers[text]
}

// head returns the header lines for the pages of an origin. Any goroutine may
// call it; it takes no lock.
func (o *Origins) head(number uint16) string {
	if o == nil {
		return ""
	}
	return (*o.heads.Load())[number]
}
