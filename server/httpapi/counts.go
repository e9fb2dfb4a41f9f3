package httpapi

import (
	"maps"
	"sync"

	"peal/loop"
)

// way is how a publication came in.
type way uint8

const (
	overHTTP way = iota
	inBatch
	overWebSocket
	ways
)

var wayNames = [ways]string{overHTTP: "http", inBatch: "batch", overWebSocket: "websocket"}

// codes are those of all refusals, so that each is counted from the start;
// TestCodesAreComplete compares them with the source.
var codes = []string{
	"already_subscribed", "bad_base64", "bad_batch", "batch_too_wide", "bad_channel", "bad_client", "bad_command", "bad_content_type", "bad_event", "bad_field", "bad_for", "bad_form",
	"bad_format", "bad_handshake", "bad_id", "bad_idempotency_key", "bad_info", "bad_json", "bad_last", "bad_limit", "bad_presence", "bad_request",
	"bad_timeout", "bad_version", "body_too_large", "busy", "channel_full", "contradiction", "cross_site", "disconnected", "draining", "expectation_failed",
	"head_too_large", "host_not_allowed", "idempotency_busy", "idempotency_conflict", "idempotency_full", "log_full", "message_too_large",
	"method_not_allowed", "no_client", "no_data", "not_found", "not_stored", "origin_not_allowed", "overloaded", "presence_full", "presence_off", "publish_not_allowed", "request_timeout", "reserved_channel", "target_too_long",
	"too_many_channels", "too_many_clients", "unknown_command", "unknown_field", "unknown_parameter", "upgrade_required",
}

// otherCode counts refusals whose code is not in codes: the labels of a metric
// stay those there are.
const otherCode = "other"

// Stats is what was counted since the start.
type Stats struct {
	Publications map[string]uint64 // accepted by the log, by way: http, batch, websocket
	Refusals     map[string]uint64 // errors that clients were told, by code
	Closes       map[int]uint64    // WebSockets closed right after their handshake; see loop.CloseCounts
}

// Add adds the counts of other to s, which may be zero.
func (s *Stats) Add(other Stats) {
	add(&s.Publications, other.Publications)
	add(&s.Refusals, other.Refusals)
	add(&s.Closes, other.Closes)
}

func add[K comparable](to *map[K]uint64, from map[K]uint64) {
	if *to == nil {
		*to = make(map[K]uint64, len(from))
	}
	for k, n := range from {
		(*to)[k] += n
	}
}

// counts belongs to one goroutine.
type counts struct {
	publications [ways]uint64
	refusals     map[string]uint64
	closes       loop.CloseCounts
}

func newCounts() counts {
	n := counts{refusals: make(map[string]uint64, len(codes)+1)}
	for _, code := range append(codes, otherCode) {
		n.refusals[code] = 0
	}
	return n
}

// accept counts publications that the log has taken.
func (n *counts) accept(w way, publications int) { n.publications[w] += uint64(publications) }

// refuse counts an error that a client is told. It does not allocate.
func (n *counts) refuse(err *Error) {
	code := err.Code
	if _, ok := n.refusals[code]; !ok {
		code = otherCode
	}
	n.refusals[code]++
}

func (n *counts) stats() Stats {
	s := Stats{Publications: map[string]uint64{}, Refusals: maps.Clone(n.refusals), Closes: n.closes.ByCode()}
	for w, name := range wayNames {
		s.Publications[name] = n.publications[w]
	}
	return s
}

// Stats is what this Front has counted. On its loop's goroutine only; what
// workers have counted is theirs: see Workers.Stats.
func (f *Front) Stats() Stats { return f.counts.stats() }

// tally is counts for the goroutines that answer instead of a loop: workers,
// and those of a log that is done later.
type tally struct {
	mu     sync.Mutex
	counts counts
}

func (t *tally) accept(w way, publications int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.accept(w, publications)
}

func (t *tally) refuse(err *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.refuse(err)
}

// Stats is what was counted outside the loops. Any goroutine may call it.
func (w *Workers) Stats() Stats {
	w.tally.mu.Lock()
	defer w.tally.mu.Unlock()
	return w.tally.counts.stats()
}
