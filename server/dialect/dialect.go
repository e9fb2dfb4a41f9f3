package dialect

import (
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/session"
	"peal/server/talk"
)

// Dialect is one row of the table. A function is nil if the dialect cannot express
// it. All functions are pure: they keep nothing, and any goroutine may call them.
type Dialect struct {
	// Name identifies the row in tests and in SameAs.
	Name string

	// A client is given the first row that has the framing of its path, its subprotocol
	// (WebSocket only; "" for none), and the format that it asks for, if it asks for one.
	// A row that is Internal is given to no client that chooses: a path is its own.
	Framing   loop.Framing
	Protocols []string
	Format    string
	Internal  bool

	// SameAs is the name of a row with the same bytes, "" for none: a message is encoded
	// once for both, and this row has the functions of that one where its own are nil.
	SameAs string

	// What the messages of a WebSocket client mean: Publishes if they are published as
	// they are, on the one channel of the connection; Commands if they are commands.
	// Without either, a client that sends a message is closed. Package permit decides
	// whether a client may do what it asks for.
	Publishes bool
	Commands  *talk.Language

	// Room names the room of the front that carries out what clients send, for
	// dialects whose messages are not commands of package talk; "" for those of Commands and Publishes. Clients
	// choose such a row by its path.
	Room string

	// Encode returns the bytes of the message e, which was published on channel and has
	// the cursor at. All subscribers share them. Their number is the same in each call
	// and at most publication.MostBytes, on which package permit relies. Respond makes a
	// Held response of the bytes of its messages.
	Encode func(e *log.Entry, channel string, at log.Cursor) []byte

	// Names says that these bytes have the names of further channels (publication.Also), so
	// that subscribers of one that not everybody may read have bytes of their own.
	Names bool

	// Presence is Encode for an entry of kind presence. If it is nil, clients that ask for
	// presence events are refused.
	Presence func(e *log.Entry, at log.Cursor) []byte

	// Open appends the first bytes of a stream that begins at a cursor. known means that
	// the client has this cursor already. id is that of its session, zero for none. retry
	// is the time after which a client should reconnect.
	Open func(dst []byte, at log.Cursor, id session.ID, known bool, retry time.Duration) []byte

	// Heartbeat appends what keeps a silent stream alive; at is its position.
	Heartbeat func(dst []byte, at log.Cursor) []byte

	// Gap appends the notice of a gap. If it is nil, a stream with a gap is closed with
	// frame.CloseGap.
	Gap func(dst []byte, g ring.Gap, lineage *log.Lineage) []byte

	// Expires appends the warning that the token of the client expires in that time. If
	// it is nil, the client is not warned.
	Expires func(dst []byte, in time.Duration) []byte

	// Close appends the last bytes of a stream. code is one of those of package frame.
	Close func(dst []byte, code uint16, reason string, retry time.Duration) []byte

	// Respond appends a whole response with at most Most messages, 0 for the limit of
	// the server. Held only.
	Respond func(dst []byte, a Answer) []byte
	Most    uint16
}

// AppendClose is Close; it appends nothing if Close is nil.
func (d *Dialect) AppendClose(dst []byte, code uint16, reason string, retry time.Duration) []byte {
	if d.Close == nil {
		return dst
	}
	return d.Close(dst, code, reason, retry)
}

// TellsPresence reports whether the dialect can express presence events.
func (d *Dialect) TellsPresence() bool { return d.Presence != nil }
