// Package dialect has the table of the dialects that the server speaks, and the
// Encoder that speaks them.
//
//   - Dialect: a row of the table: a framing, the names under which a client chooses
//     it, how messages and all that the server says besides are written in it, and
//     what a client's messages mean. What a dialect has no word for is nil.
//   - Table: the rows. The place of a row in it is its ring.Encoding.
//   - Encoder: what the loops ask for bytes. It implements fanout.Encoder.
//
// A new dialect is a package beside sse, poll and wsproto, which extends slices and
// knows no I/O, and a row in Standard. The loop knows framings only, the fan-out
// neither; nothing outside the table chooses by encoding.
//
// A Table does not change after it was made, and any goroutine may use it. So may
// it the Encoder.
package dialect
