// Package response writes the heads of HTTP responses: of everything that is
// answered over HTTP/1.1 by the rooms of the server, at once, by a worker, or long
// after it was asked.
//
// Its nouns are the head, which has the lines that every response of Peal has, and
// the clock, which gives the Date.
//
// What it does not write: 101 (package loop/frame) and what the acceptor says to
// connections beyond the limit (package loop), since these know nothing of HTTP.
//
// A head belongs to its caller, a clock to everybody. Nothing is kept.
package response
