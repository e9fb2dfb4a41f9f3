// Package pusher writes and reads the frames of the Pusher Channels protocol, version 7. It
// does no I/O and knows neither connections nor channels.
//
//   - Message, Parser: what a client sends.
//
//   - Append…: what the server sends, in whole WebSocket frames. AppendEvent and AppendPresence
//     write entries of the log, with bytes that all subscribers share; the others concern one
//     connection.
//
//   - AppendSocketID, ParseSocketID: the id of a session as clients and backends of the
//     protocol write it.
package pusher
