// Package hostile plays clients that try to harm others: each kind does one thing
// that a server must withstand. They send bytes over plain sockets and draw no
// conclusions; the caller measures the honest clients (bench/attacks) or checks
// the guarantees meanwhile (loadtest/chaos).
//
// Its nouns:
//
//   - A Kind is one thing that hostile clients do: work.go has those that use
//     processor time, memory.go those that make the server keep bytes, tables.go
//     those that fill its fixed tables, slow.go those that hold connections, frames.go
//     those that misuse WebSockets, requests.go those with many or large requests, encrypted.go
//     those that need TLS.
//   - A Spec gives the kinds, the number of clients, and the server. Run plays
//     them until its context ends.
//   - A Tally counts what they sent and received, so that a test can tell an
//     attack from a client that was refused.
//   - A Neighbour is a Spec in a process of its own, with one processor and a
//     lower priority than the process that measures: see process.go.
//
// Concurrency: a goroutine for each client, some with a reader beside it; Run
// waits for all of them.
package hostile
