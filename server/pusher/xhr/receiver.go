package xhr

import (
	"bytes"
	"time"
	"unicode/utf8"

	"peal/loop"
)

// Door leads to the connections of clients: a loop.Group. See there.
type Door interface {
	Answer(ref loop.Ref, out []byte)
	Do(ref loop.Ref, f func(c loop.Client))
}

// Receiver is a request by which a client receives lines: a stream until StreamBytes, or a
// poll, which is answered once.
type Receiver struct {
	Number uint64 // of the session of its connection
	Ref    loop.Ref

	// Respond makes the response of a poll of lines; nil: it is a stream, whose head has been
	// sent.
	Respond func(lines []byte) []byte

	session *Session
	sent    int           // characters of a stream
	gone    chan struct{} // closed when its connection has ended
}

// StreamBytes is how many characters pusher-js takes of one response: when it has more, and all of
// them are whole lines, it asks for the next response. A stream therefore stops behind the line that
// exceeds it: so nothing can come behind that line and be lost.
const StreamBytes = 256 << 10

// pieceBytes is how much is sent in one piece; the first line may be longer.
const pieceBytes = 64 << 10

// retryAfter is the pause while the socket of a client has no room.
const retryAfter = 50 * time.Millisecond

// take returns how many bytes of lines are to be sent next, whole lines, and how many characters
// they are as a browser counts them (UTF-16). room is in characters; the line that exceeds it
// is the last.
func take(lines []byte, room int) (n, characters int) {
	for n < len(lines) && characters <= room {
		end := n + bytes.IndexByte(lines[n:], '\n') + 1
		if n > 0 && end > pieceBytes {
			break
		}
		characters += count(lines[n:end])
		n = end
	}
	return n, characters
}

// count is how many characters a text has.
func count(text []byte) (characters int) {
	for _, b := range text {
		if utf8.RuneStart(b) {
			characters++
		}
		if b >= 0xF0 {
			characters++ // a surrogate pair
		}
	}
	return characters
}

// send sends lines on a stream, and waits while its socket has no room. It reports false if the
// connection ends before.
func (r *Receiver) send(door Door, lines []byte) bool {
	for {
		asked := make(chan bool, 1)
		door.Do(r.Ref, func(c loop.Client) { asked <- c.Ask() })
		select {
		case ok := <-asked:
			if ok {
				ref := r.Ref
				ref.Asked = true
				door.Answer(ref, append([]byte(nil), lines...))
				return true
			}
		case <-r.gone:
			return false
		}
		select {
		case <-time.After(retryAfter):
		case <-r.gone:
			return false
		}
	}
}
