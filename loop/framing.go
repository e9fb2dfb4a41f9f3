package loop

// Framing is how a connection carries what it is sent: all that a loop knows of a
// dialect. What stands inside the frames is the Encoder's.
type Framing uint8

const (
	WebSocket   Framing = iota // frames of RFC 6455, and frames of the client
	EventStream                // a response that goes on until somebody ends it; what the client sends is discarded
	Held                       // a response that waits until there is something to say: a long poll
)
