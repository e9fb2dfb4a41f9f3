package loop

// Framing is how a connection carries bytes. It is all that a loop knows of a dialect;
// the Encoder writes what the frames contain.
type Framing uint8

const (
	WebSocket   Framing = iota // frames of RFC 6455 in both directions
	EventStream                // a response without end; what the client sends is discarded
	Held                       // a response that waits for messages: a long poll
)
