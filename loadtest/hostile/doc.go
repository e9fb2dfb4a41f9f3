// Package hostile is clients that try to cost others: each kind does one thing
// that a server must withstand. They send bytes over plain sockets and conclude
// nothing; who starts them measures what became of everybody else (bench/attacks)
// or checks the promises meanwhile (loadtest/chaos).
//
// Its nouns:
//
//   - A Kind is one thing that hostile clients do: work.go has those that buy
//     processor time, memory.go those that make the server keep bytes, tables.go
//     those that fill its fixed tables.
//   - A Spec says which kinds, how many clients, and at which server. Run plays
//     them until its context ends.
//   - A Tally counts what they sent and what came back, so that a test can tell an
//     attack from a client that was refused at the door.
//   - A Neighbour is a Spec in a process of its own, with one processor and a
//     lower priority than whoever measures: see process.go.
//
// Concurrency: a goroutine for each client, some with a reader beside it; Run
// waits for all of them.
package hostile
