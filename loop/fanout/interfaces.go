package fanout

import (
	"peal/loop/deflate"
	"peal/loop/ring"
)

// Encoder writes messages and notices in the encodings of the server. Results
// of Encode are shared and immutable; the Append methods extend dst.
type Encoder interface {
	// Encode returns the bytes of m on a stream in encoding k.
	Encode(m *ring.Message, k ring.Encoding) []byte

	// AppendOpen appends the first bytes of a stream.
	AppendOpen(dst []byte, k ring.Encoding, o Opening) []byte

	// AppendHeartbeat appends what an otherwise silent stream is sent: an id
	// line for SSE, a ping frame for WebSocket, both carrying the position.
	AppendHeartbeat(dst []byte, k ring.Encoding, sequence uint64) []byte

	// AppendGap appends the notice that part of a channel is gone. Nothing
	// appended means that the encoding has no word for it (raw WebSocket).
	AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte

	// AppendAnswer appends the whole HTTP answer to a poll.
	AppendAnswer(dst []byte, k ring.Encoding, a Answer) []byte

	// AppendClose appends the last bytes of a stream: a close frame with the
	// status code and reason for WebSocket; for SSE what makes clients come back.
	AppendClose(dst []byte, k ring.Encoding, code uint16, reason string) []byte
}

// Compressor is an Encoder that compresses messages in some of its encodings.
type Compressor interface {
	// Compresses reports whether k is such an encoding.
	Compresses(k ring.Encoding) bool

	// CompressionCost is what Encode, or AppendAnswer, takes for so many bytes beside the
	// encoding, in nanoseconds; 0 if it compresses nothing.
	CompressionCost(k ring.Encoding, answer bool, size int) int
}

// Summer is an Encoder with encodings in which the end of a stream tells the checksum of
// all that it has carried, as gzip does.
type Summer interface {
	// Sums reports whether k is such an encoding. The Fan asks once for each subscription.
	Sums(k ring.Encoding) bool

	// Sum is that of what Encode(m, k) carries. The Fan asks once for each message, as
	// long as it remembers the answer.
	Sum(m *ring.Message, k ring.Encoding) deflate.Sum

	// SumOf is that of what b carries, which was appended by AppendOpen, AppendGap,
	// AppendHeartbeat or AppendClose in such an encoding, or given to Fan.Write.
	SumOf(b []byte) deflate.Sum

	// AppendEnd appends what follows AppendClose, always of the same length.
	AppendEnd(dst []byte, s deflate.Sum) []byte
}

// Opening is how a stream begins.
type Opening struct {
	Sequence uint64    // its position
	Known    bool      // the client has the position already
	Session  uint64    // of the member
	Adopted  *[16]byte // the name by which publishers leave it out; nil: that of its session
}

// Answer is the response to one poll.
type Answer struct {
	Sequence  uint64 // covered up to here
	Messages  []*ring.Message
	Gaps      []ring.Gap
	Close     bool   // the connection is closed after it
	Last      bool   // the server is going away: the client is to come back a little later
	HeadOnly  bool   // answer to HEAD: headers only
	Origin    uint16 // Subscription.Origin
	Introduce bool   // Subscription.Introduce
	More      bool   // the member may have messages after Sequence at once
	Ended     any    // why the client receives nothing more, which is all there is to say; nil: it is an answer. From the loop only
}

// Source is the history, and the count of who listens. Any goroutine may call it.
type Source interface {
	// Read appends to dst the retained messages of channel with after <
	// sequence <= upto, oldest first, until their Size exceeds limit bytes (at
	// least one, if there is one) or limit count messages. It returns the highest sequence ever discarded from
	// the channel, and whether messages up to upto were left out.
	Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) (msgs []*ring.Message, discarded uint64, more bool)

	// Newest returns the position after which exactly n retained messages of
	// channel (fewer if fewer are retained; all of them if n < 0) follow.
	Newest(channel string, n int) (after uint64)

	// Latest returns the newest retained message of channel with after < sequence
	// <= upto, nil if there is none, how many others of them it passed over, and
	// the highest sequence ever discarded from the channel.
	Latest(channel string, after, upto uint64) (m *ring.Message, passed int, discarded uint64)

	// Concerns returns what remains of a gap of channel, which ends at discarded, for a
	// member of which leavesOut knows the exclusions; whole: it is the same for all.
	Concerns(channel string, discarded uint64, leavesOut func(x *ring.Exclusion) bool) (upto uint64, whole bool)

	// Join and Leave count one subscriber of channel in and out. Join returns the name as the
	// source keeps it, or a copy: the caller can do without one of its own until Leave.
	Join(channel string) (kept string)
	Leave(channel string)

	// Head is the newest sequence of the log.
	Head() uint64
}

// Conn names a connection to a Sender: the slot of the loop, and a generation that
// differs from those of the connections that had the slot before. A sender that
// has bytes for a connection that is gone refuses them by it.
type Conn struct{ Slot, Generation uint32 }

// Sender writes to connections: by a system call for each, into TLS records, or by
// a queue of the kernel that says later what became of them. The fan asks for one
// send at a time for each connection: until that was reported it calls neither Queue
// nor Now for it. Any number of connections may have a send out, for any number of
// turns. All methods belong to the loop's goroutine.
type Sender interface {
	// Queue asks for b, which is not empty, to be sent to a connection; ticket
	// names it in the report. b stays valid and unchanged until then, whatever
	// becomes of the connection or its subscription.
	Queue(ticket uint32, to Conn, b []byte)

	// Flush begins to send what is queued. It may report that, and what was queued
	// earlier. It is called in each Fan.Flush in which a send is out.
	Flush(report Report)

	// Now sends what it can of b at once. b is not kept. n < len(b) without full
	// means that the sender does not do it now, which it may always say: the rest
	// comes by Queue. full and err are as in Report.
	Now(to Conn, b []byte) (n int, full bool, err error)
}

// Report is how a Sender says what became of a ticket, once for each, also if the
// connection is gone by then. It may be kept, and called in Flush or at any other
// moment, but not within Queue, Now or another method of the fan; Fan.Pending is
// true after that. A sender that reports in Flush alone has the loop call Fan.Flush.
//
// n bytes were accepted: they go out before all that is queued later. full, which
// n < len(b) implies, means that no more is accepted until Fan.Writable, which is
// called after the report: room that was made between the send and its report must
// be found by asking again. A sender that has accepted all but keeps the end, as of
// a TLS record of which the socket took a part, says full as well, and the loop does
// not end the connection before there is room again. err: the connection is gone.
//
// A report does not wait for the client: what a socket does not take is full. Until
// it comes the fan keeps what the member will need next: see DESIGN.md, Flight.
type Report func(ticket uint32, n int, full bool, err error)

// Events is what the fan tells its loop. They come at the end of Flush, also of
// what was reported before it, when the fan may be called again.
type Events interface {
	// Lost: the socket failed.
	Lost(slot uint32, err error)
	// Idle: the lane has become empty, an answer was sent to its end, or what was on
	// its way when the subscription ended has been. LaneEmpty is true.
	Idle(slot uint32)
	// Answered: a poll got its answer and is no longer subscribed. Idle
	// follows, perhaps much later, when the socket has taken all of it.
	Answered(slot uint32, session uint64)
	// Gapped: part of the stream is gone and its encoding has no word for it.
	Gapped(slot uint32)
	// Fell: part of the stream is gone because the member is slow, and the policy
	// of the channel is to end it then.
	Fell(slot uint32)
	// Slow: the member was given up because it takes too little (Limits).
	Slow(slot uint32)
}

// Stats are counters since the start, and gauges of now.
type Stats struct {
	Deliveries uint64 // messages accepted by sockets, counted once for each member
	Sends      uint64 // send calls with publications
	Bytes      uint64 // bytes of publications accepted
	Encodings  uint64 // messages encoded, each once in each encoding in use; twice if two loops need it first at the same moment, again if it was given up for LimitEncodings
	Full       uint64 // times a socket was full
	Gaps       uint64 // gap notices and gap closes
	LaneFull   uint64 // members given up: beyond LaneBytes
	HeldFull   uint64 // members given up: held most when all were beyond HeldBytes
	History    uint64 // strips built from history
	Latency    Latency

	Members  int // attached
	Views    int
	Channels int
	Held     int // bytes in lanes
	Encoded  int // bytes of encodings kept with messages
	Waiting  int // bytes in strips of messages that wait for their turn: Limits.WaitingBytes
	Behind   int // members waiting for their turn to catch up
	Stalled  int // members whose socket is full
}
