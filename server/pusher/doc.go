// Package pusher writes and reads the frames of the Pusher Channels protocol, version 7. It
// does no I/O and knows neither connections nor channels.
//
//   - AppendSocketID, ParseSocketID: the id of a session as clients and backends of the
//     protocol write it.
package pusher
