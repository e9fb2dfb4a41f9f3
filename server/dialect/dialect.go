package dialect

import (
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/talk"
)

// Dialect is one way to speak with clients: a row of the table. Functions that are
// nil are words that it does not have. All functions are pure: they keep nothing,
// and any goroutine may call them.
type Dialect struct {
	// Name is the row's own, for tests and logs.
	Name string

	// A client chooses the first row of the framing of its path that has its
	// subprotocol ("" for none; WebSocket only), and the format it asks for, if it
	// asks for one.
	Framing   loop.Framing
	Protocols []string
	Format    string

	// SameAs is the name of a row that is sent the same: each message is encoded
	// once for both, and functions that are nil are that row's. "" for none.
	SameAs string

	// What a WebSocket client sends is published as it is, on the one channel of its
	// connection, or is commands in that language. Else it must not send anything.
	// Whether it may do what it says is package permit's to decide.
	Publishes bool
	Commands  *talk.Language

	// Encode returns a message as it is sent: e as it was published on channel, at
	// position at. The bytes are shared by all subscribers, always as many for the same
	// message, and never more than publication.MostBytes says of it: package permit
	// relies on that. In a Held response they are what Respond puts together.
	Encode func(e *log.Entry, channel string, at log.Cursor) []byte

	// Presence is Encode for an entry of kind presence. nil: clients cannot ask for it.
	Presence func(e *log.Entry, at log.Cursor) []byte

	// Open appends the first bytes of a stream at a position. known: the client has
	// the position already. retry is how long it should wait before it comes back.
	Open func(dst []byte, at log.Cursor, known bool, retry time.Duration) []byte

	// Heartbeat appends what an otherwise silent stream is sent.
	Heartbeat func(dst []byte, at log.Cursor) []byte

	// Gap appends that part of a channel is gone. nil: a stream is closed with
	// frame.CloseGap instead.
	Gap func(dst []byte, g ring.Gap, lineage *log.Lineage) []byte

	// Close appends the last bytes of a stream. code is one of package frame.
	Close func(dst []byte, code uint16, reason string, retry time.Duration) []byte

	// Respond appends a whole response with at most Most messages, 0 for the limit of
	// the server. Held only.
	Respond func(dst []byte, a Answer) []byte
	Most    uint16
}

// AppendClose is Close, which appends nothing if the dialect has no word for it.
func (d *Dialect) AppendClose(dst []byte, code uint16, reason string, retry time.Duration) []byte {
	if d.Close == nil {
		return dst
	}
	return d.Close(dst, code, reason, retry)
}

// TellsPresence reports whether the dialect has a word for presence.
func (d *Dialect) TellsPresence() bool { return d.Presence != nil }
