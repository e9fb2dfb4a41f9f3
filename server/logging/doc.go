// Package logging creates the server's logger: text on a terminal, JSON for programs
// that collect it.
//
//   - Logger: a slog.Logger whose lines are written by a goroutine of its own. A
//     log without a reader (a full pipe, a stopped terminal, a reader that has
//     exited) must not stop an event loop: lines that do not fit into the queue or
//     cannot be written are lost, and counted in the next line and in Lost. Each
//     line is tried, so a new reader of the same pipe receives lines again.
//   - Queue: the same for output other than the log.
//   - Format and level are words, as in the settings: see Check.
//
// The callers decide which lines there are, and limit those that clients can cause
// at will.
//
// Concurrency: any goroutine may log, also after Close, when lines are dropped.
package logging
