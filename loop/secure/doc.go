// Package secure speaks TLS on the event loops. It is a layer between a loop.Loop and
// its kernel: to the loop it is a loop.Kernel, to the kernel below it is a loop.Handler.
// The loop above reads and sends plaintext, and knows nothing of TLS.
//
//   - Layer: what the loops of a server have in common: the configuration, the
//     queue of handshakes, the counters.
//   - kernel: the layer on one loop, with the connections on it by descriptor. A
//     connection without TLS has no entry, and costs one look-up in each call.
//   - conn: one TLS connection. It is the net.Conn that crypto/tls reads from and
//     writes to, in memory.
//   - handshake: what a conn has beside until its handshake is done.
//
// Handshakes: crypto/tls cannot interrupt a handshake and continue it later, so that a
// handshake needs a goroutine. It gets one when its ClientHello is complete (hello.go),
// in an order that is fair to addresses (queue.go). The goroutine never uses the
// descriptor: the loop brings what has come, and sends what the goroutine writes.
// Until the handshake is done, the loop above hears of no event.
//
// Records: crypto/tls gets one whole record at a time (read.go). Therefore it keeps
// no input between two calls, and its input buffer is one that all connections of a
// loop share. A part of a record is kept here. What the socket does not take of a
// sealed record is kept here, too (send.go), one record at most.
//
// Limits: Config has them. What is beyond a limit is closed and counted (Stats).
//
// Concurrency: a kernel and its conns belong to the goroutine of the loop, a
// handshake is shared with its goroutine and has a lock, the Layer's queue has
// another. Order of locks: the queue, then a handshake, then a kernel's gate.
package secure
