package loop

import (
	"net/netip"
	"time"

	"peal/loop/fanout"
	"peal/loop/frame"
)

// Kind is what a connection is at the moment, as a word that outlives a process.
type Kind string

const (
	KindHTTP      Kind = "http"              // between requests, inside one, or its response on the way
	KindPoll      Kind = "poll"              // a poll waits
	KindEvents    Kind = "events"            // an event stream
	KindWebSocket Kind = "websocket"         // open
	KindClosing   Kind = "websocket-closing" // our close frame was sent
	KindLingering Kind = "lingering"         // nothing more is sent
)

// ConnState is a connection as plain data, for a loop of another process. The descriptor of
// its socket goes apart. Times are what is left, or what has passed, not moments.
type ConnState struct {
	Socket  int32 // of the process that has made it; the other one replaces it by its own
	Loop    uint16
	Session uint64
	Kind    Kind
	Dialect string // of a poll or stream

	Peer   netip.AddrPort // at the other end of the connection; not valid for a Unix socket
	Client netip.AddrPort // who has sent the latest request through Peer; not valid: Peer
	Proxy  bool           // Peer was named in a PROXY header
	Fresh  bool           // a layer below may still take something off its beginning

	Receives fanout.MemberState
	Front    []byte // Mover

	Used       bool // it had a request
	Named      bool // Front.Left is due
	CloseNext  bool // it ends after what is under way
	Answering  bool // a response has not left completely
	Continued  bool // 100 (Continue) was sent for the request under way
	HalfClosed bool // the client has ended its side, and all it has sent was read
	Publishes  bool // WebSocket: what the client sends is published to its channel
	Commands   bool

	Input     []byte        // read and not used
	Head      bool          // it is the beginning of a request
	Began     time.Duration // since its first byte came, without the time that it waited for the front
	Reader    *frame.State  // of a WebSocket
	Discarded uint32        // bytes of a lingering connection

	Timer    time.Duration // until its timer fires, 0: it has none
	Deadline time.Duration // likewise, of Client.SetDeadline
	Silent   time.Duration // since the last input
	Missed   uint8         // heartbeats without a sign of life

	InflowBytes, InflowFrames uint32 // of the limits of Inflow, as they are now

	// Of Group.Ahead.
	slot uint32
	mark any // Mover.Mark

	// Of Group.Expect.
	polled bool // the loop hears of the socket
	moved  any  // Mover.Read of Front; nil: it was not called
}

// LoopState is what one loop hands over.
type LoopState struct {
	Changed []Changes      // of connections that Ahead has described
	Conns   []ConnState    // the others, and those of which changes do not say all
	Ahead   []int          // of each of Conns 1 + its place in what Ahead has returned, 0 if it is not there
	Rests   [][]byte       // of the MemberStates of Conns
	Stay    map[string]int // connections that are not handed over, by why
	Life    LifeState
}

// Changes are what has changed of connections: of each one its place in what Ahead has returned, as
// uvarint, and a ConnState.AppendChange.
type Changes struct {
	Sessions []uint64
	Data     []byte
}

// mostChanges is how many connections have their changes together: some tens of kilobytes.
const mostChanges = 1024

// GroupState is what the loops of a Group hand over.
type GroupState struct {
	Sessions uint64 // counter of session numbers, the greatest of all loops: Group.ContinueSessions
	Loops    []LoopState
}

// Why a connection is not handed over.
const (
	StayTLS      = "tls"      // its keys are no plain data
	StayRefused  = "refused"  // it is only here to be refused
	StayResponse = "response" // a response or a reply is being prepared
	StayLayer    = "layer"    // a layer below the loop has a part of its input
	StayPair     = "pair"     // Group.Adopt: its other end is in this process
	StayFront    = "front"    // the front declines
	StayEnding   = "ending"   // it was given up
)

// Mover is a Front that hands over what it knows of sessions. Without it, connections
// that are named, have commands or a deadline stay. All methods run on the loop's goroutine, those of a
// Group that was not started on that of the caller of Import.
type Mover interface {
	// Export appends to dst what the front knows of the session, in a form of its own that
	// later versions read. ok is false if the connection is not to be handed over. It changes nothing: the
	// connection may go on here.
	Export(session uint64, dst []byte) (data []byte, ok bool)

	// Mark returns what Same compares: whether Export would return the same again. nil: nobody knows.
	Mark(session uint64) any
	Same(session uint64, mark any) bool

	// Read reads what Export has returned in another process, for Import. It depends on nothing that
	// changes: any goroutine may call it.
	Read(data []byte) (moved any, err error)

	// Import takes over what Read has returned; nil for no data. c has its channels
	// already. It may be any connection, not only a stream, and nothing may be written to it yet.
	Import(c Client, moved any) error
}

// Keeper is a Kernel, a layer below the loop, that knows more of some sockets than their
// descriptors.
type Keeper interface {
	// Keeps is what the layer, and those below it, have of a socket.
	Keeps(socket int32) Keeping

	// Await has the layers treat a socket that another process has accepted, and of which nothing was
	// read, like one that was accepted just now. Kernel.Add follows.
	Await(a Arrival)
}

// Keeping is what a layer has of a socket.
type Keeping uint8

const (
	KeepsNothing   Keeping = iota
	KeepsBeginning         // nothing was read, but the beginning is the layer's
	KeepsInput             // a part of what came, or keys
)

// KeepsOf is what the layers of k have of a socket.
func KeepsOf(k Kernel, socket int32) Keeping {
	if layer, ok := k.(Keeper); ok {
		return layer.Keeps(socket)
	}
	return KeepsNothing
}

// AwaitOn is Keeper.Await of k, if that is one.
func AwaitOn(k Kernel, a Arrival) {
	if layer, ok := k.(Keeper); ok {
		layer.Await(a)
	}
}
