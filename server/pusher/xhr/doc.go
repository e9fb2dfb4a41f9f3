// Package xhr carries the Pusher Channels protocol over plain HTTP, for browsers behind a
// proxy that refuses WebSockets: what pusher-js calls xhr_streaming.
//
//   - AppendLines: the frames of a WebSocket as lines of a response without end.
//   - Client: the loop.Client of such a response, for a room that writes frames.
//   - Sessions: the open ones of a server, by the names that their clients give them.
//   - ParseSend: the messages in the body of a request of a client.
//
// A session is one response without end, and other requests bring the messages of its
// client, perhaps to another loop. The lines are those that SockJS has: o when it opens,
// a["…"] with messages, c[code,"reason"] at its end.
//
// A Client belongs to the loop of its connection; any goroutine may use Sessions.
package xhr
