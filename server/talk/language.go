package talk

import (
	"peal/server/log"
	"peal/server/refusal"
)

// Parser takes the messages of clients apart, one at a time.
type Parser interface {
	// Parse reads one message into c, which it resets. With an error the command has
	// the ID, as far as it was found before, and must not be carried out. Neither is
	// kept.
	Parse(c *Command, binary bool, payload []byte) *refusal.Error
}

// Language is how a dialect reads commands and writes replies: whole frames, which
// its functions append. id is that of the command; it is kept by nobody. A zero
// cursor is none. A language that says nothing appends nothing.
type Language struct {
	// NewParser returns a parser for the goroutine of one loop.
	NewParser func() Parser

	// Connected appends the first frames of a connection that stands at that position.
	// The others are the limits of a client.
	Connected func(dst []byte, at log.Cursor, channels, messageBytes int) []byte

	// Done appends that the command was done.
	Done func(dst, id []byte, at log.Cursor) []byte

	// Subscribed is Done for a subscribe. unlisted is on how many of its channels there
	// is no room to list its client.
	Subscribed func(dst, id []byte, at log.Cursor, unlisted int) []byte

	// Result appends what a question brought: object is a JSON object that is not empty.
	Result func(dst, id, object []byte) []byte

	// Refused appends why the command was not done.
	Refused func(dst, id []byte, err *refusal.Error) []byte
}
