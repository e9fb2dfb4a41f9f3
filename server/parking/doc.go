// Package parking keeps what a client has sent while Peal asks the backend about it (package
// ask), and goes on when the answer is there.
//
// Its noun is the [Lot], of one event loop. It parks one message of a connection at a time, and
// those behind it wait, so that they are carried out in their order: on a WebSocket they stay
// unread (loop.Client.Hold), so the client's own sending waits in the end; of a connection
// whose messages come in other requests (the fallback of the Pusher protocol) at most
// [mostBehind] are kept, and further ones are refused. When the connection ends, what it has
// parked is dropped: its client has no reply, and does not know what became of it.
//
// What a message means is its room's: command and pusher/room. A parked message is given to
// the room once more, with the answers, and is decided again. A Lot belongs to its loop's
// goroutine and never blocks.
package parking
