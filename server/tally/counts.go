package tally

import (
	"maps"
	"sync"

	"peal/loop"
	"peal/server/refusal"
)

// Way is how a publication came in.
type Way uint8

const (
	HTTP Way = iota
	Batch
	WebSocket
	Inbox
	ways
)

var wayNames = [ways]string{HTTP: "http", Batch: "batch", WebSocket: "websocket", Inbox: "inbox"}

// otherCode counts refusals whose code is not in refusal.Codes: the labels of a
// metric stay those there are.
const otherCode = "other"

// Counts belongs to one goroutine.
type Counts struct {
	publications [ways]uint64
	refusals     map[string]uint64
	closes       loop.CloseCounts
	revoked      uint64
}

// New returns counts that have every code, with 0.
func New() *Counts {
	n := &Counts{refusals: make(map[string]uint64, len(refusal.Codes)+1)}
	for _, code := range refusal.Codes {
		n.refusals[code] = 0
	}
	n.refusals[otherCode] = 0
	return n
}

// Accept counts publications that the log has taken.
func (n *Counts) Accept(w Way, publications int) { n.publications[w] += uint64(publications) }

// Refuse counts an error that a client receives. It does not allocate.
func (n *Counts) Refuse(err *refusal.Error) {
	code := err.Code
	if _, ok := n.refusals[code]; !ok {
		code = otherCode
	}
	n.refusals[code]++
}

// Close counts a WebSocket that is closed right after its handshake.
func (n *Counts) Close(code uint16) { n.closes.Add(code) }

// Revoke counts a connection that ends because its token is revoked.
func (n *Counts) Revoke() { n.revoked++ }

// Stats is what was counted.
func (n *Counts) Stats() Stats {
	s := Stats{Publications: map[string]uint64{}, Refusals: maps.Clone(n.refusals), Closes: n.closes.ByCode(), Revoked: n.revoked}
	for w, name := range wayNames {
		s.Publications[name] = n.publications[w]
	}
	return s
}

// Shared is Counts for several goroutines.
type Shared struct {
	mu     sync.Mutex
	counts *Counts
}

// NewShared returns one that has every code, with 0.
func NewShared() *Shared { return &Shared{counts: New()} }

// Accept counts publications that the log has taken.
func (t *Shared) Accept(w Way, publications int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Accept(w, publications)
}

// Refuse counts an error that a client receives.
func (t *Shared) Refuse(err *refusal.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Refuse(err)
}

// Stats is what was counted.
func (t *Shared) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts.Stats()
}

// Stats is what was counted since the start.
type Stats struct {
	Publications map[string]uint64 // accepted by the log, by way: http, batch, websocket
	Refusals     map[string]uint64 // errors that clients received, by code
	Closes       map[int]uint64    // WebSockets closed right after their handshake; see loop.CloseCounts
	Revoked      uint64            // connections that ended because their token was revoked
}

// Add adds the counts of other to s, which may be zero.
func (s *Stats) Add(other Stats) {
	add(&s.Publications, other.Publications)
	add(&s.Refusals, other.Refusals)
	add(&s.Closes, other.Closes)
	s.Revoked += other.Revoked
}

func add[K comparable](to *map[K]uint64, from map[K]uint64) {
	if *to == nil {
		*to = make(map[K]uint64, len(from))
	}
	for k, n := range from {
		(*to)[k] += n
	}
}
