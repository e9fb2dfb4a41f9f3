package otel

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	randv2 "math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"peal/server/publish"
	"peal/server/tracecontext"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// mostWatched is how many publications may wait for their fan-out at a time; further ones have no
// span for it.
const mostWatched = 256

// Publications makes the spans of publications: publish, append below it, and fan-out.
type Publications struct {
	To     *Exporter
	Sample float64 // of publications without a trace context, the part that begins a trace

	// Handed calls done, on any goroutine, when all loops have handed everything up to a sequence to the
	// sockets that had room. nil: there are no spans of the fan-out.
	Handed func(sequence uint64, done func())

	Cursor func(sequence uint64) string

	watched atomic.Int32
}

var _ publish.Spans = (*Publications)(nil)

// Begin implements publish.Spans.
func (p *Publications) Begin(parent string) publish.Span {
	s := &publication{of: p, start: time.Now()}
	if parent == "" {
		if p.Sample <= 0 || randv2.Float64() >= p.Sample {
			return nil
		}
		_, _ = rand.Read(s.self.Trace[:]) // never fails
		s.self.Trace[0] |= 1              // not zero
	} else {
		from, ok := tracecontext.Parse(parent)
		if !ok || !from.Sampled {
			return nil
		}
		s.self.Trace, s.parent = from.Trace, from.Span
	}
	s.self.Span, s.self.Sampled = newID(), true
	return s
}

func newID() (id [8]byte) {
	binary.LittleEndian.PutUint64(id[:], randv2.Uint64()|1)
	return id
}

// publication is a publish.Span.
type publication struct {
	of              *Publications
	self            tracecontext.Parent
	parent          [8]byte
	start, appended time.Time
}

// Traceparent implements publish.Span.
func (s *publication) Traceparent() string { return s.self.String() }

// Appended implements publish.Span.
func (s *publication) Appended() { s.appended = time.Now() }

// End implements publish.Span.
func (s *publication) End(sequence uint64, code string) {
	now, trace := time.Now(), s.self.Trace
	attributes := map[string]string{"messaging.system": "peal", "messaging.operation.type": "send"}
	if code == "" {
		attributes["messaging.message.id"] = s.of.Cursor(sequence)
	}
	s.of.To.Send(&Span{Name: "publish", Kind: Server, Trace: trace, ID: s.self.Span, Parent: s.parent, Start: s.start, End: now, Attributes: attributes, Error: code})
	if s.appended.IsZero() {
		return
	}
	appended := s.appended
	s.of.To.Send(&Span{Name: "append", Kind: Internal, Trace: trace, ID: newID(), Parent: s.self.Span, Start: s.start, End: appended, Error: code})
	if code != "" || s.of.Handed == nil {
		return
	}
	if s.of.watched.Add(1) > mostWatched {
		s.of.watched.Add(-1)
		s.of.To.dropped.Add(1)
		return
	}
	s.of.Handed(sequence, func() {
		s.of.watched.Add(-1)
		s.of.To.Send(&Span{Name: "fan-out", Kind: Producer, Trace: trace, ID: newID(), Parent: s.self.Span, Start: appended, End: time.Now()})
	})
}
