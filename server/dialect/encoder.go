package dialect

import (
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/response"
	"peal/server/session"
	"peal/server/sse"
)

// Encoder implements fanout.Encoder by the functions of a table. Message.Entry must be
// a *log.Entry. All loops may share it if random may be shared.
type Encoder struct {
	// Fixed before the first use. Deflates reports whether messages of a channel may be
	// compressed for clients that can take that, nil for none; MinBytes is the length
	// below which they are not. Origin returns the header lines for the pages of an
	// origin by its number (fanout.Subscription.Origin); if it is nil, pages of other
	// origins cannot read Held responses. Ended appends the whole response to a poll
	// that was ended for that cause (loop.Ending). Sessions are the ids that a client receives when its
	// stream opens, or with the response to its first poll; nil: none.
	Origin   func(number uint16) string
	Ended    func(dst []byte, h response.Head, headOnly bool, cause any) []byte
	Sessions *session.IDs

	Deflates func(channel string) bool
	MinBytes int

	table   *Table
	lineage *log.Lineage
	random  func(n int64) int64
	clock   response.Clock
}

// NewEncoder returns an encoder for the messages of one log. If t is nil, it has the
// rows of Standard. random returns a number in [0, n), as math/rand/v2.Int64N does; it
// spreads reconnects.
func NewEncoder(t *Table, lineage *log.Lineage, random func(n int64) int64) *Encoder {
	if t == nil {
		t = NewTable(Standard()...)
	}
	return &Encoder{table: t, lineage: lineage, random: random}
}

var (
	_ fanout.Encoder = (*Encoder)(nil)
	_ fanout.Namer   = (*Encoder)(nil)
)

// Table is the dialects of the encoder.
func (e *Encoder) Table() *Table { return e.table }

var _ fanout.Encoder = (*Encoder)(nil)

func entryOf(m *ring.Message) *log.Entry { return m.Entry.(*log.Entry) }

// Encode implements fanout.Encoder.
func (e *Encoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	if f := &e.table.forms[k]; f.coding != Plain {
		return e.compress(m, f)
	}
	d, entry, at := e.table.At(k), entryOf(m), e.lineage.Cursor(m.Sequence)
	if entry.Kind != log.KindPresence {
		return d.Encode(entry, m.Channel, at)
	}
	if d.Presence == nil {
		panic("dialect: presence for " + d.Name + ", which cannot express it")
	}
	return d.Presence(entry, at)
}

// Hidden implements fanout.Namer.
func (e *Encoder) Hidden(m *ring.Message, k ring.Encoding) []string {
	if !e.table.At(k).Names {
		return nil
	}
	return publication.Hidden(entryOf(m))
}

// Show implements fanout.Namer.
func (e *Encoder) Show(m *ring.Message, names []string) *ring.Message {
	return m.With(publication.Showing(entryOf(m), names))
}

// AppendOpen implements fanout.Encoder.
func (e *Encoder) AppendOpen(dst []byte, k ring.Encoding, o fanout.Opening) []byte {
	open := e.table.At(k).Open
	if open == nil {
		return dst
	}
	var id session.ID
	switch {
	case o.Adopted != nil:
		id = session.ID(*o.Adopted)
	case e.Sessions != nil:
		id = e.Sessions.Of(o.Session)
	}
	return open(dst, e.lineage.Cursor(o.Sequence), id, o.Known, Retry(e.random))
}

// AppendHeartbeat implements fanout.Encoder.
func (e *Encoder) AppendHeartbeat(dst []byte, k ring.Encoding, sequence uint64) []byte {
	if beat := e.table.At(k).Heartbeat; beat != nil {
		return beat(dst, e.lineage.Cursor(sequence))
	}
	return dst
}

// AppendGap implements fanout.Encoder.
func (e *Encoder) AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte {
	if gap := e.table.At(k).Gap; gap != nil {
		return gap(dst, g, e.lineage)
	}
	return dst
}

// AppendClose implements fanout.Encoder.
func (e *Encoder) AppendClose(dst []byte, k ring.Encoding, code uint16, reason string) []byte {
	if d := e.table.At(k); code == frame.CloseRateLimited && d.Framing == loop.WebSocket {
		return d.AppendClose(dst, code, reason, 0) // the time depends on the limit: if it is known, the reason has it
	}
	return e.table.At(k).AppendClose(dst, code, reason, Retry(e.random))
}

// AppendAnswer implements fanout.Encoder.
func (e *Encoder) AppendAnswer(dst []byte, k ring.Encoding, said fanout.Answer) []byte {
	h := response.Head{Date: e.clock.Date(), Close: said.Close}
	if e.Origin != nil {
		h.Origin = e.Origin(said.Origin)
	}
	if said.Ended != nil {
		return e.Ended(dst, h, said.HeadOnly, said.Ended)
	}
	a := Answer{Messages: said.Messages, More: said.More, encoder: e, encoding: k}
	a.Head, a.HeadOnly = h, said.HeadOnly
	if said.Introduce && e.Sessions != nil {
		a.Session = e.Sessions.Fresh()
	}
	if said.Last {
		a.Retry = Retry(e.random)
	}
	a.Cursor, a.Gaps, a.Lineage = e.lineage.Cursor(said.Sequence), said.Gaps, e.lineage
	if e.table.forms[k].coding == GzipBody {
		a.Gzip = e.gzip
	}
	return e.table.At(k).Respond(dst, a)
}

// Retry returns the time after which a client should reconnect. random is that of
// NewEncoder.
func Retry(random func(n int64) int64) time.Duration {
	return sse.MinRetry + time.Duration(random(int64(sse.MaxRetry-sse.MinRetry)))
}
