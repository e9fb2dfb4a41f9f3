// Package trace answers whether a message was sent to a client, and why not: the trace of a
// message.
//
//   - Record: a bounded record of the connections of one event loop. It has a life for each.
//   - Life: one connection, or the polls of one client on it: who it was, its channels and
//     from where on it received them, the gaps that it was told of, what was refused to it, the
//     position up to which it was sent everything, what it has confirmed, and how it ended.
//   - Question: one message, and about whom. Record.Ask judges the lives one by one; Conclude
//     makes the Answer of what all records have found.
//
// There is no record of deliveries. A life has one position, which the loop reports when a client
// subscribes or unsubscribes, at a poll and at the end, and which a question asks for, so
// a delivery pays nothing. What a client was sent follows from its positions and its gaps.
//
// Sequences are those of the log. A record that is full forgets the lives that ended first; if
// none has ended, it does not record new ones. Both are known to it: an answer that could depend on
// what is missing is NotKnown.
//
// Concurrency: a Record belongs to the goroutine of its loop. A Question, and what Ask returns,
// are values.
package trace
