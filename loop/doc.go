// Package loop owns the connections: it accepts them, reads them, and sends to
// them, on one event loop a core.
//
//   - Group: the loops of a server, with its listeners.
//   - Loop: one kernel and everything of the connections on it. A connection is
//     accepted once and stays on its loop for life; nothing of it is locked.
//   - Kernel: what a loop asks of the operating system, in one interface. Linux's,
//     on gnet's epoll poller, is in kernel_linux.go, the only file that imports gnet.
//     A server may put a fanout.Sender before the one that sends through it
//     (Parts.Sender).
//   - Front: what answers requests and takes messages; the server brings it.
//   - Batch: the events that one look at the sockets has found. Responses to its
//     requests, and what they have published, leave at its end (Handler.Polled).
//   - Turn: what a loop does when that was not all: take from the ring, fan out a
//     budgeted number of sends, and read events again.
//   - ConnState: a connection as plain data, for a loop of another process. A Group is frozen,
//     settled and exported, and goes on or is abandoned; another one imports.
//
// What a connection receives is package fanout's to decide; frames are package
// frame's; HTTP is the Front's. This package moves bytes and keeps time.
//
// Concurrency: everything of a Loop belongs to its goroutine. Others have one
// door: Wake, Answer, Again, Do and Post, which leave something behind and wake the loop.
package loop
