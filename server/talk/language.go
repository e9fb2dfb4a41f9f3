package talk

import (
	"peal/server/log"
	"peal/server/refusal"
	"peal/server/session"
)

// Parser parses the messages of clients, one at a time.
type Parser interface {
	// Parse reads one message into c, which it resets. With an error the command has
	// the ID, as far as it was found before, and must not be carried out. Neither is
	// kept.
	Parse(c *Command, binary bool, payload []byte) *refusal.Error
}

// Language is how a dialect parses commands and writes replies. Its functions append
// whole frames, or nothing if the dialect has no such reply. id is that of the command
// and is not kept. A zero cursor means that there is none.
type Language struct {
	// NewParser returns a parser for the goroutine of one loop.
	NewParser func() Parser

	// Connected appends the first frames of a connection at a position. id is that of its
	// session; channels and messageBytes are the limits of a client.
	Connected func(dst []byte, at log.Cursor, id session.ID, channels, messageBytes int) []byte

	// Done appends the reply to a command that was carried out.
	Done func(dst, id []byte, at log.Cursor) []byte

	// Subscribed is Done for a subscribe. unlisted is the number of its channels whose
	// presence list has no room for the client.
	Subscribed func(dst, id []byte, at log.Cursor, unlisted int) []byte

	// Renewed is Done for a token. unsubscribed are the channels that it does not grant,
	// and that the client no longer has.
	Renewed func(dst, id []byte, at log.Cursor, unsubscribed []string) []byte

	// Result appends the reply to a history or presence command: a JSON object that is
	// not empty.
	Result func(dst, id, object []byte) []byte

	// Refused appends the error of a command that was not carried out.
	Refused func(dst, id []byte, err *refusal.Error) []byte
}
