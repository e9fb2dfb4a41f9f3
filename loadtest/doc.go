// Package loadtest measures push servers from the outside: it opens
// subscribers, publishes to them, and checks what arrives. It meets a server
// on the wire only, so it measures Peal, the C ceiling in bench/ceiling and
// other people's servers alike.
//
// Its nouns:
//
//   - A fleet is the subscribers of one process: gws clients (Kind GWS, the
//     independent judge of correctness) or lean raw-epoll clients (Kind Epoll,
//     which leave the cores to the server). See fleet.go.
//   - A worker is a process with one fleet, run by the same binary again, since
//     the descriptor limit is per process. A Pool is several workers seen as
//     one; control is a JSON object per line on stdin and stdout.
//   - A Publisher sends stamped messages, over HTTP or WebSocket, and is never held up
//     by the server; Flood publishes over many keep-alive connections as fast as it
//     goes.
//     Each stream (a channel in one run) has exactly one publisher and counts
//     its messages 1, 2, 3 …
//   - A dialect is how a server that is not Peal is spoken to: loadtest/dialect.
//   - A run is one measurement: Begin, publish in a closed loop (N messages in
//     flight) or an open loop (a schedule fixed in advance), Await, Report. An
//     open loop can be sampled, and its subscribers dropped and taken back.
//
// loadtest/scenario makes load tests of these, loadtest/report says what they
// found, and peal load is both as a command. bench measures with them directly.
//
// Every message starts with a Stamp: run, stream, sequence and the moment the
// schedule meant to send it; all bytes behind it are known. A receiver therefore counts
// exactly, for each subscriber and stream, what was lost, duplicated, reordered and
// damaged, and latency starts at the scheduled moment: a server that stalls cannot hide
// its stall by stalling the publisher. Each End of a connection has a reason and a side.
//
// Publishers and workers read the same clock, CLOCK_MONOTONIC of one machine. Workers
// on other machines, at an agent, read theirs and add an offset: see Clock.
//
// Concurrency: a Pool and its publishers belong to one goroutine; a fleet's
// receivers share one sink under one lock, which its loop takes once per batch
// of events.
package loadtest
