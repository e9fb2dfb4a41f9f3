package httpapi

import (
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/poll"
	"peal/server/publication"
	"peal/server/sse"
	"peal/server/wsproto"
)

// Encoder implements fanout.Encoder: it gives each of the loop's encodings to
// the dialect that knows how to write it. Message.Entry must be a *log.Entry.
// It may be shared by all loops if random may.
type Encoder struct {
	// Origins are those of the Fronts, for whose pages polls are answered. Fixed
	// before the first use; nil: pages of other origins may read no poll.
	Origins *Origins

	lineage *log.Lineage
	random  func(n int64) int64
	clock   clock
}

// NewEncoder returns an encoder for the messages of one log. random returns
// a number in [0, n), as math/rand/v2.Int64N does; it spreads reconnects.
func NewEncoder(lineage *log.Lineage, random func(n int64) int64) *Encoder {
	return &Encoder{lineage: lineage, random: random}
}

var _ fanout.Encoder = (*Encoder)(nil)

// Encode implements fanout.Encoder. A poll's encodings are what AppendAnswer
// puts together: the object, the bare data.
func (e *Encoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	entry, c := m.Entry.(*log.Entry), e.cursor(m.Sequence)
	if entry.Kind == log.KindPresence {
		return encodePresence(entry, k, c)
	}
	switch k {
	case loop.WSRaw:
		return wsproto.AppendRaw(nil, entry)
	case loop.WSJSON:
		return wsproto.AppendJSON(nil, entry, m.Channel, c)
	case loop.SSERaw:
		return sse.AppendRaw(nil, entry, c)
	case loop.SSEJSON:
		return sse.AppendJSON(nil, entry, m.Channel, c)
	case loop.PollRaw:
		return entry.Data
	case loop.PollJSON:
		dst := make([]byte, 0, publication.SizeHint(entry, m.Channel))
		return publication.AppendJSON(dst, entry, m.Channel, c)
	}
	panic("httpapi: unknown encoding")
}

// encodePresence is Encode for an entry of kind presence. Nobody subscribes to
// these with an encoding that has no word for them.
func encodePresence(entry *log.Entry, k ring.Encoding, c log.Cursor) []byte {
	switch k {
	case loop.WSJSON:
		return wsproto.AppendPresence(nil, entry, c)
	case loop.SSERaw, loop.SSEJSON:
		return sse.AppendPresence(nil, entry, c)
	case loop.PollJSON:
		return publication.AppendPresence(nil, entry, c)
	}
	panic("httpapi: presence for a stream that has no word for it")
}

// tellsPresence reports whether the encoding has a word for presence.
func tellsPresence(k ring.Encoding) bool { return k != loop.WSRaw && k != loop.PollRaw }

// AppendOpen implements fanout.Encoder.
func (e *Encoder) AppendOpen(dst []byte, k ring.Encoding, sequence uint64, known bool) []byte {
	switch {
	case isSSE(k) && known:
		return sse.AppendRetry(dst, e.retry())
	case isSSE(k):
		return sse.AppendOpen(dst, e.cursor(sequence), e.retry())
	}
	return dst // a WebSocket has said all in its 101, a poll is answered as a whole
}

// AppendHeartbeat implements fanout.Encoder.
func (e *Encoder) AppendHeartbeat(dst []byte, k ring.Encoding, sequence uint64) []byte {
	switch {
	case isSSE(k):
		return sse.AppendHeartbeat(dst, e.cursor(sequence))
	case isWS(k):
		return wsproto.AppendHeartbeat(dst, e.cursor(sequence))
	}
	return dst
}

// AppendGap implements fanout.Encoder.
func (e *Encoder) AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte {
	switch {
	case isSSE(k):
		return sse.AppendGap(dst, g, e.lineage)
	case k == loop.WSJSON:
		return wsproto.AppendGap(dst, g, e.lineage)
	}
	return dst
}

// AppendAnswer implements fanout.Encoder.
func (e *Encoder) AppendAnswer(dst []byte, k ring.Encoding, a fanout.Answer) []byte {
	if a.Dismissed {
		return appendError(dst, shape{close: a.Close, headOnly: a.HeadOnly, origin: e.Origins.head(a.Origin)}, e.clock.date(), errDisconnected, noStore)
	}
	pa := poll.Answer{
		Cursor:   e.cursor(a.Sequence),
		Gaps:     a.Gaps,
		Lineage:  e.lineage,
		Date:     e.clock.date(),
		Close:    a.Close,
		HeadOnly: a.HeadOnly,
		Origin:   e.Origins.head(a.Origin),
	}
	if k == loop.PollRaw {
		return e.appendRawAnswer(dst, pa, a.Messages)
	}
	var space [16][]byte
	objects := space[:0]
	for _, m := range a.Messages {
		object, ok := m.Kept(loop.PollJSON)
		if !ok {
			object = e.Encode(m, loop.PollJSON)
		}
		if m.Entry.(*log.Entry).Kind == log.KindPresence {
			pa.Presence = append(pa.Presence, object)
		} else {
			objects = append(objects, object)
		}
	}
	return poll.AppendJSON(dst, pa, objects)
}

// appendRawAnswer answers with the first message. If there are more, the
// cursor must not lead past them.
func (e *Encoder) appendRawAnswer(dst []byte, pa poll.Answer, messages []*ring.Message) []byte {
	if len(messages) == 0 {
		return poll.AppendRaw(dst, pa, nil)
	}
	if len(messages) > 1 {
		pa.Cursor = e.cursor(messages[0].Sequence)
	}
	return poll.AppendRaw(dst, pa, messages[0].Entry.(*log.Entry))
}

// AppendClose implements fanout.Encoder.
func (e *Encoder) AppendClose(dst []byte, k ring.Encoding, code uint16, reason string) []byte {
	switch {
	case isSSE(k):
		return sse.AppendEnd(dst, e.retry())
	case isWS(k):
		return wsproto.AppendClose(dst, code, reason)
	}
	return dst
}

func isSSE(k ring.Encoding) bool { return k == loop.SSERaw || k == loop.SSEJSON }
func isWS(k ring.Encoding) bool  { return k == loop.WSRaw || k == loop.WSJSON }

func (e *Encoder) cursor(sequence uint64) log.Cursor {
	return e.lineage.Cursor(sequence)
}

func (e *Encoder) retry() time.Duration {
	return sse.MinRetry + time.Duration(e.random(int64(sse.MaxRetry-sse.MinRetry)))
}
