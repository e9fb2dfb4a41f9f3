package dialect

import (
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/poll"
)

// Answer is the content of a Held response. The fields of Head that concern the
// connection are set; Respond sets those that concern the body.
type Answer struct {
	poll.Answer
	Messages []*ring.Message // publications and presence, oldest first
	More     bool            // messages after Cursor are there already

	encoder  *Encoder
	encoding ring.Encoding
}

// Bytes returns what Encode or Presence returned for a message. It is shared.
func (a *Answer) Bytes(m *ring.Message) []byte {
	if b, ok := m.Kept(a.encoding); ok {
		return b
	}
	return a.encoder.Encode(m, a.encoding) // a cache has taken it away
}

// at is the position of a message in the log.
func (a *Answer) at(m *ring.Message) log.Cursor { return a.Lineage.Cursor(m.Sequence) }

// respondJSON lists the messages, presence by itself.
func respondJSON(dst []byte, a Answer) []byte {
	var space [16][]byte
	objects := space[:0]
	for _, m := range a.Messages {
		if entryOf(m).Kind == log.KindPresence {
			a.Presence = append(a.Presence, a.Bytes(m))
		} else {
			objects = append(objects, a.Bytes(m))
		}
	}
	return poll.AppendJSON(dst, a.Answer, objects)
}

// respondRaw has the first message alone. If there are more, the cursor must not
// lead past them.
func respondRaw(dst []byte, a Answer) []byte {
	if len(a.Messages) == 0 {
		return poll.AppendRaw(dst, a.Answer, nil)
	}
	if len(a.Messages) > 1 {
		a.Cursor = a.at(a.Messages[0])
	}
	return poll.AppendRaw(dst, a.Answer, entryOf(a.Messages[0]))
}
