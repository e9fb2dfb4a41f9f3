package loop

import (
	"errors"
	"net/netip"
	"time"
)

// Kernel is everything that a loop asks of the operating system. Each loop has its
// own; no system call is made past it. kernel_linux.go is the one that servers run
// on, server/simulation has one that a seed moves.
//
// Sockets are descriptors: small numbers that the kernel uses again once they were
// closed. All calls return at once, but for Run.
//
// A Kernel belongs to the goroutine that runs it. Trigger, Stop, Now and After may
// be called by any.
type Kernel interface {
	// Run calls the Handler and runs tasks until Stop, after which it returns nil,
	// or until it cannot go on.
	Run() error

	// Stop makes Run return soon.
	Stop()

	// Trigger has task run between calls of the Handler, once and soon. Tasks run in
	// the order in which they came, but behind the events that are ready.
	Trigger(task func())

	// Yield makes Handler.Turn due, behind the events that are ready now. Several
	// calls may become one Turn.
	Yield()

	// Tick makes Handler.Tick due each time so much has passed; 0 ends that. What was
	// missed while the loop was busy becomes one.
	Tick(every time.Duration)

	// Close gives back what the kernel itself holds. Nothing may be called afterwards.
	Close() error

	// Add has the Handler hear of the socket, or listener, until it is closed. Events
	// are edges: one comes when something has begun to be possible, not while it is,
	// and any may come without a cause.
	Add(socket int32) error

	// Accept takes one connection that waits on a listener. Errors: ErrAgain, none waits
	// now and an event will tell; ErrExhausted, try later; ErrNotListening; any other
	// concerns one connection that ended before it was taken.
	Accept(listener int32) (Arrival, error)

	// Read takes what has come, at most len(b) > 0 bytes; fewer say that there were no
	// more, and an event will tell of those that come. Errors: ErrAgain, nothing
	// is here now and an event will tell; io.EOF, the peer has ended its side; any
	// other, the connection is gone.
	Read(socket int32, b []byte) (n int, err error)

	// Send hands on what the socket has room for: n bytes were accepted and go out before
	// all that is sent later. full, which n < len(b) implies, means that no more is
	// accepted now, and an event will tell when it is; with n == len(b) the kernel
	// keeps the end of b itself until there is room, as of a TLS record. An error
	// means that the connection is gone. b is not kept.
	Send(socket int32, b []byte) (n int, full bool, err error)

	// Shutdown ends our side of the connection, behind what was sent, also behind what
	// the kernel keeps.
	Shutdown(socket int32)

	// CloseSocket closes a socket or listener. Where the client has sent what was not
	// read, it gets a reset, which may overtake what was sent to it.
	CloseSocket(socket int32)

	// Copy returns another descriptor of a socket, to be passed to another process: it stays good when the
	// socket is closed. CloseCopy, which any goroutine may call, must follow.
	Copy(socket int32) (int32, error)
	CloseCopy(fd int32)

	// EndOf is what is known of the end of a connection: an event may be old, and
	// speak of the connection that had the descriptor before.
	EndOf(socket int32) End

	// Spare keeps a descriptor in reserve, or gives it up so that one more socket can
	// be accepted. It reports whether there is one now.
	Spare(keep bool) bool

	// Now is the time since some moment before the loop was made.
	Now() time.Duration

	// After calls f once when d has passed, on a goroutine of its own or of anybody.
	After(d time.Duration, f func())

	// Random is any number in [0, n): it spreads what would happen at once.
	Random(n int64) int64
}

// A layer is a Kernel that stands on another one, and the Handler of that: it changes
// what connections carry, as TLS does, and the loop does not know of it.

// Arrival is a connection that was accepted.
type Arrival struct {
	Socket int32
	Peer   netip.AddrPort // not valid for a Unix socket
	Secure bool           // it is encrypted between the client and this process
}

// Handler is a loop as its kernel sees it. One call at a time, on the goroutine that
// runs the kernel.
type Handler interface {
	// Peer tells the address of the client of a socket that was added, instead of the one
	// in its Arrival: the proxy before it has named it. It comes before anything can
	// be read from the socket. An address that is not valid means a client of a Unix socket.
	// If no connection is taken of that client (welcome is false), Read must return an
	// error: Peer is called from inside it, where nothing can be closed.
	Peer(socket int32, peer netip.AddrPort) (welcome bool)

	// Ready tells what may be possible now on a socket that was added. The socket may
	// have been closed meanwhile, and its number be another's.
	Ready(socket int32, e Events)

	// Polled follows the last Ready of those that one look at the sockets has found: nothing
	// else is known to be ready. Between a Ready and its Polled the kernel neither waits nor
	// runs tasks. Without a Ready it does nothing.
	Polled()

	// Turn is what Yield asked for.
	Turn()

	// Tick is what Kernel.Tick asked for.
	Tick()
}

// Events is what may be possible on a socket.
type Events uint8

const (
	Readable Events = 1 << iota // read it: bytes, the end, a connection to accept
	Writable                    // it has room
	NearEnd                     // the peer's end may be close behind what can be read; with Readable
	Broken                      // nothing can be sent to the peer any more; with NearEnd
)

// End is what is known of the end of a connection.
type End uint8

const (
	EndNone End = iota
	EndRead     // the peer has ended its side: behind what can be read nothing comes
	EndBoth     // nothing can be sent either: reset, timed out, or closed on both sides
)

var (
	// ErrAgain: there is nothing now.
	ErrAgain = errors.New("nothing now")

	// ErrExhausted: the kernel is out of descriptors or memory; what else it says is
	// wrapped beside it.
	ErrExhausted = errors.New("out of descriptors or memory")

	// ErrNotListening: the listener was closed, or does not listen any more.
	ErrNotListening = errors.New("not listening")
)
