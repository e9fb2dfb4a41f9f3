// Package logging makes the server's logger: text for a person at a terminal,
// JSON for a program that collects it.
//
//   - Logger: a slog.Logger whose lines are written by a goroutine of its own. A
//     log that nobody reads (a full pipe, a stopped terminal, a reader that has
//     left) must not stop an event loop: what does not fit into the queue or
//     cannot be written is lost, and counted in the next line and in Lost. Each
//     line is tried, so a new reader of the same pipe receives lines again.
//   - Queue: the same for lines that are not the log's.
//   - Format and level are words, as in the settings: see Check.
//
// Which lines there are is for those who log. What a client can cause at will
// they limit themselves.
//
// Concurrency: any goroutine may log, also after Close, which lets go of it.
package logging
