package loop

import (
	"net/netip"
	"time"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// Front answers the requests on connections that are not streams, and takes
// the messages that WebSocket clients send. All methods run on the loop's
// goroutine and must not block.
type Front interface {
	// Request looks at the unread bytes of one connection and handles at most
	// one request: it fills the result fields of c.
	Request(c *Call)

	// Open is called once for a connection that became a stream with
	// s.Commands, when its head was handed on: the front subscribes for it.
	Open(c Client, s *Subscription)

	// Message takes one whole WebSocket message of c. payload is the loop's
	// memory: copy what is kept. A non-zero code closes the connection with that
	// status and reason.
	Message(c Client, binary bool, payload []byte) (code uint16, reason string)

	// Due is called for a stream whose deadline is over (Subscription.Deadline,
	// Client.SetDeadline), which has none any more. It may write to c, end it, or set the
	// next deadline.
	Due(c Client)

	// Left is called once for a connection of which a Subscription was Named, when
	// it receives nothing more: it was closed, is being closed, or its poll is
	// answered. It may then be named anew. What a client unsubscribes itself is
	// the front's to know.
	Left(session uint64)
}

// Observer is a Front that observes the responses that it did not return from Request:
// those of workers and of the log (Later) and of polls (Park). response is lent; nil
// means that the connection was closed before. On the loop's goroutine.
type Observer interface {
	Responded(session uint64, response []byte)
}

// Forsaken is a Front that wants to know of clients that end their side while they wait for the
// response of another goroutine (Later): most are gone, and a response would be lost. A response may
// still be brought. On the loop's goroutine.
type Forsaken interface {
	Ended(session uint64)
}

// Client is the WebSocket or the event stream that the front is called about. The channels
// of an event stream without Commands do not change. It is good for the length of the call and
// must not be kept; Ref may.
type Client interface {
	Ref() Ref
	Session() uint64
	Peer() netip.AddrPort   // as in Call
	Dialect() ring.Encoding // Subscription.Dialect

	// PublishTo is the channel that a raw message goes to, "" for none.
	PublishTo() string

	// Channels appends the names of its channels, sorted.
	Channels(dst []string) []string

	// Subscribe adds the channels of s, from where s says, and returns the position
	// from which on they are delivered. Nothing of them is sent before the front
	// returns, so a reply that is written now comes first. Only if s is Foreign is
	// the gap written at once: no cursor that leads past it may come before.
	Subscribe(s *Subscription) (start uint64)

	// Unsubscribe takes channels away; those it does not have are ignored.
	Unsubscribe(channels []string)

	// Position is the sequence up to which it was sent everything on its channels;
	// ok is false while more waits than its socket has taken.
	Position() (sequence uint64, ok bool)

	// Write sends b, whole frames or events, to it alone, before any further
	// publication. b is not kept. A slow consumer is closed.
	Write(b []byte)

	// Close ends it: behind what was written before, a WebSocket is sent the code and
	// the reason, an event stream its end. It receives nothing more.
	Close(code uint16, reason string)

	// SetDeadline has Front.Due called when d has passed, instead of any earlier
	// deadline: in whole seconds, not before its time, and within 2 s of it unless the
	// loop is overloaded. 0: none. A negative one is over.
	SetDeadline(d time.Duration)

	// Spend counts work that the message causes on the loop beside its bytes and
	// what is written and subscribed: units of about a microsecond.
	Spend(units int)

	// Owe says that one reply is to come for the message under way, by Group.Answer or
	// by Group.Do with Unowe. While many are to come, no further messages are taken of it.
	Owe()

	// Unowe takes Owe back: the reply was written by Write, or there will be none.
	Unowe()

	// Hold has the further messages of a WebSocket wait, unread, until Release: the message
	// under way cannot be carried out yet. What is parked is owed a reply. Release is called
	// by Group.Do, before what is then carried out.
	Hold()
	Release()

	// Leaving reports whether the client has ended its side, so that it is only sent replies:
	// a subscription would bring it nothing.
	Leaving() bool

	// Ask reports whether one long answer (Answerer of a worker, by Ref) may be
	// prepared for it: not while another one is under way or waits for its socket.
	Ask() bool

	// Unask takes Ask back: there will be no answer.
	Unask()
}

// Ref names a connection to other goroutines. It goes stale when the
// connection closes, and for Answer and Again when it has brought the answer to its
// request, or has had it looked at again; a stale Ref is ignored.
type Ref struct {
	Loop       uint16
	Slot       uint32
	Generation uint32
	Asked      bool // what comes is the long answer that Client.Ask made room for
}

// Verdict says what becomes of a connection after Front.Request.
type Verdict uint8

const (
	More       Verdict = iota // In ends inside a request: call again with more bytes (Out may hold an interim answer)
	Reply                     // Out is the answer; the connection stays for the next request
	ReplyClose                // Out is the answer; the connection is closed after it (lingering)
	Stream                    // Out is the head; from here on the connection is what Sub says
	Park                      // a poll: held until something comes for Sub or Sub.Deadline is over
	Later                     // Loop.Answer(c.Conn, …) will bring the answer; until then nothing else is read
	Wait                      // nothing of In is used, nothing is answered: Request is called again about the same bytes, and what has come behind them, after Group.Again(c.Conn)
)

// Call is one look at a connection's unread bytes. The loop owns and reuses
// it; nothing in it may be kept after Request returns.
type Call struct {
	// Given.
	In        []byte // unread bytes, from the first byte of a request line on
	Conn      Ref
	Session   uint64
	Peer      netip.AddrPort // address of the client, or of the proxy before it; not valid for a Unix socket
	Refusal   Refusal        // set: the request is to be refused for it, in the form of its transport; the connection ends then
	Secure    bool           // the client came over TLS
	Trusted   bool           // Peer is a proxy whose word about its client counts: Parts.Trusted
	Named     bool           // Peer was named by a proxy, in a PROXY header
	Continued bool           // a 100 (Continue) was already sent for this request
	Draining  bool           // answer, but do not keep the connection alive: a drain has come to it
	Late      bool           // its time has passed: a request that is not whole is to be refused, not waited for
	Partial   *Partial       // what the front found out about In in earlier calls, of More and Wait; the front's to change. nil: nothing
	Ended     bool           // the client has ended its side: In is all there will be, so a request that is not whole is to be refused, not waited for

	// Returned.
	Used    int    // bytes of In that the handled request took; not used with More and Wait
	Need    int    // with More: len(In) below which calling again is useless, 0 if unknown
	Out     []byte // the answer, appended to the slice given; the loop keeps the array
	Verdict Verdict
	Close   bool // with Park and Later: close after the answer (HTTP/1.0, Connection: close)
	Sub     *Subscription
	Work    int // units of about a microsecond that the request took, beside its bytes and its subscription

	// Client is who has sent the request through Peer, if it is Trusted: the connection
	// is counted with that address, and logged with it, until the next request. Not valid: Peer. With
	// More it may be left out once it was given.
	Client netip.AddrPort
}

// Partial is what a front remembers of a request that is not whole, so that it
// looks at each byte once: places in Call.In. The loop keeps it with the input, and
// gives the zero value with the first bytes of a request.
type Partial struct {
	Head    uint32 // length of the head, 0 while it is not whole
	Checked uint32 // checked as a head up to here, which was not all of it
	Sought  uint32 // no end of head, chunk line or trailer line before here
	Line    uint32 // chunked: where the line begins that comes next
	Trailer uint32 // chunked: where the trailers begin, 0 before
	Content uint32 // chunked: bytes of content before Line
	Limit   uint32 // chunked: bytes that the content may have
}

// Subscription is what a request asks to receive, and what its connection becomes.
// The front creates it; then the loop owns it and sets OneShot and Close. Without a
// channel it must have Commands. Encoding numbers the bytes of messages, Dialect those
// that concern this connection alone; dialects may share an encoding.
type Subscription struct {
	fanout.Subscription

	Deadline  time.Duration // Park: answer with nothing then. Stream: Client.SetDeadline, 0 for none
	Dialect   ring.Encoding // for AppendOpen, AppendHeartbeat, AppendClose and the gap of a Foreign cursor
	Framing   Framing
	Known     bool // After: the client has this position as the id of its last event
	Publishes bool // WebSocket: what the client sends is published to its channel
	Commands  bool // what the client sends are commands to the front, which has those for an event stream from other requests: Group.Do
	Named     bool // the front wants to know when it ends: Front.Left
	Deflate   bool // WebSocket: permessage-deflate was negotiated, so messages of the client may be compressed

	// Adopt is the name by which publishers leave the session out (ring.Exclusion), of an
	// earlier connection perhaps; nil: that of its own.
	Adopt *[16]byte
}
