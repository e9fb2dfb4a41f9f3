// Package dialect has the table of wire formats in which the server and its clients
// communicate.
//
//   - Dialect: a row of the table. It has a framing, the names by which a client
//     chooses it, a function for everything that the server sends, and the meaning of
//     what the client sends. A function is nil if the dialect cannot express it.
//   - Table: the rows. The index of a row is its ring.Encoding.
//   - Encoder: an implementation of fanout.Encoder by a table.
//
// To add a dialect, write a package like sse, poll or wsproto, which appends bytes and
// does no I/O, and add a row to Standard. The loop knows framings only, and the
// fan-out only numbers encodings. No code outside the table chooses by encoding.
//
// Tables do not change. Any goroutine may use a Table or an Encoder.
package dialect
