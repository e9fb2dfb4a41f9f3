// Package xhr carries the Pusher Channels protocol over plain HTTP, for browsers behind a
// proxy that refuses WebSockets: what pusher-js calls xhr_streaming and xhr_polling.
//
//   - AppendLines: the frames of a WebSocket as lines of text.
//   - Client: the loop.Client of a stream of lines, for a room that writes frames.
//   - Sessions: the open ones of a server, by the names that their clients give them.
//   - Receiver: a request by which a client receives lines.
//   - ParseSend: the messages in the body of a request of a client.
//
// A Session has a stream, which is a connection of a loop for as long as the session lives, and a
// goroutine that brings its lines to one receiver after the other. Other requests bring the
// messages of its client, perhaps to another loop. The lines are those that SockJS has: o
// when it opens, a["…"] with messages, c[code,"reason"] at its end.
//
// A Client belongs to the loop of its connection; any goroutine may use Sessions and a Session.
package xhr
