// Package frame implements the server side of RFC 6455: the opening handshake and
// the frames, with bytes in and values out. It does no I/O.
//
// Four nouns:
//
//   - Upgrade: the header values that request a WebSocket, and their check;
//     AppendSwitching writes the response.
//   - Header: the part of a frame before its payload (§5.2). Headers, masks, close
//     payloads and UTF-8 each have one file and can be used alone.
//   - Reader: 16 bytes without pointers, one per connection, that turn a
//     client's stream into events. The bytes themselves stay with the caller.
//   - Event: a whole message or a control frame; its payload is in the caller's
//     buffer, unmasked in place.
//
// The caller owns all memory. ParseX and Reader.Next read a slice and return parts
// of it; AppendX extends a slice. Nothing here allocates, except an AppendX whose
// dst is too short. Each received byte is unmasked once, checked once and moved at
// most twice, however small the pieces are in which it arrives.
//
// An error is final for its connection: CloseCode returns the status to close with,
// StatusCode the HTTP status of a refused handshake. Of the reserved bits, RSV1 is legal
// where permessage-deflate was negotiated: package loop/deflate does that, and inflates.
// HTTP parsing, origins, timeouts and pongs are left to others.
//
// Functions may be called from any goroutine; a Reader and the bytes given to
// it belong to one goroutine at a time.
package frame
