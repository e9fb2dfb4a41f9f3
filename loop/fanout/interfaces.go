package fanout

import "peal/loop/ring"

// Encoder writes messages and notices in the encodings of the server. Results
// of Encode are shared and immutable; the Append methods extend dst.
type Encoder interface {
	// Encode returns the bytes of m on a stream in encoding k.
	Encode(m *ring.Message, k ring.Encoding) []byte

	// AppendOpen appends the first bytes of a stream whose position is sequence.
	// known: the client has it already.
	AppendOpen(dst []byte, k ring.Encoding, sequence uint64, known bool) []byte

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

// Answer is what one poll is told.
type Answer struct {
	Sequence  uint64 // covered up to here
	Messages  []*ring.Message
	Gaps      []ring.Gap
	Close     bool   // the connection is closed after it
	HeadOnly  bool   // answer to HEAD: headers only
	Origin    uint16 // Subscription.Origin
	Dismissed bool   // the client was disconnected, which is all there is to say; from the loop only
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

	// Join and Leave count one subscriber of channel in and out.
	Join(channel string)
	Leave(channel string)

	// Head is the newest sequence of the log.
	Head() uint64
}

// Conn names a connection to a Sender: the slot of the loop, and a generation that
// differs from those of the connections that had the slot before. A sender that
// has bytes for a connection that is gone refuses them by it.
type Conn struct{ Slot, Generation uint32 }

// Sender writes to connections. Bytes handed to Queue stay valid and unchanged
// until they were reported.
type Sender interface {
	// Queue asks for b to be sent to a connection; ticket names it in the report.
	Queue(ticket uint32, to Conn, b []byte)

	// Flush sends what is queued and calls report once for each ticket, now or
	// in a later Flush: n bytes were accepted; full, or fewer than asked for, means
	// that Writable will follow; err means that the connection is gone.
	Flush(report Report)

	// Now sends b at once and reports as Flush does. b is not kept. Fewer bytes
	// without full: the others come by Queue, whose turn it is to take them.
	Now(to Conn, b []byte) (n int, full bool, err error)
}

// Report is how a Sender says what became of a ticket: see Sender.Flush.
type Report func(ticket uint32, n int, full bool, err error)

// Events is what the fan tells its loop. They come at the end of Flush, when
// the fan may be called again.
type Events interface {
	// Lost: the socket failed.
	Lost(slot uint32, err error)
	// Idle: the lane has become empty; an answer was sent to its end.
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
}
