// Package deflate compresses messages: permessage-deflate of WebSockets (RFC 7692), and
// the parts of a gzip stream (RFC 1952) that many connections share. It does no I/O.
//
//   - Negotiate: the answer to a client's offers (RFC 7692 §7.1).
//   - AppendFlushed: a message as blocks of DEFLATE that refer to nothing before them
//     and end at a byte, so that it can follow any other message on any connection.
//   - Inflater: the reverse for what clients send, with a limit on the result.
//   - Sum: the checksum and the length of what a gzip stream has carried. Sums of parts
//     become the sum of the whole without their bytes.
//
// The same bytes always give the same result, whatever was compressed before: a message
// whose bytes were dropped halfway through a send can be compressed again.
//
// Functions may be called from any goroutine; an Inflater belongs to one at a time.
package deflate
