// Package durable writes channels in the form of the Durable Streams protocol (its
// version 1.0, https://github.com/durable-streams/durable-streams), of which Peal serves
// the part for readers.
//
//   - Offset: a position in a stream, as text that sorts like the positions.
//   - Content: what a stream consists of: a JSON array of messages, or the bytes of all
//     messages without anything in between, as text or not.
//   - Page: a response with a part of a stream.
//
// A stream is a channel, from its oldest retained message on. Rows of server/dialect
// have the functions for event streams and long polls; server/httpapi has the requests.
// All functions are pure: they keep nothing, and any goroutine may call them.
package durable
