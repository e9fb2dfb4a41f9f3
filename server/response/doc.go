// Package response writes the heads of HTTP responses: those that are sent at once,
// those of workers, and those of polls.
//
//   - Head: the status line and the lines that every response of Peal has.
//   - Clock: the Date.
//
// Two heads are written elsewhere, by packages that know nothing of HTTP: 101 by
// loop/frame, and the 503 of connections beyond the limit by the acceptor of loop.
//
// A Head belongs to its caller and is not kept. Any goroutine may use a Clock.
package response
