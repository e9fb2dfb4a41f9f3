// Package bench measures servers end to end, with loadtest as the client: every
// row of the design's table of numbers, Peal against the ceiling in interleaved
// pairs.
//
// Its nouns:
//
//   - A *Command starts a Server, a fresh one for each sample. Command is the
//     launcher for anything that is a program: Peal, the ceiling, a peer.
//   - The ceiling (ceiling/ceiling.c) is the least that a broadcaster can do on
//     this kernel: a Peal far above it is a defect of the ceiling.
//   - An Experiment measures one or several Rows together; its side A is what
//     the target is about, its side B, where there is one, what A is compared
//     with. Samples are taken in turns, A B B A A B …, so that a slow minute of
//     the machine falls on both.
//   - A Macro is a benchmark of one server by itself, for comparing two builds:
//     its Measures are CPU time and latency, and what the server counts itself,
//     which is the same in each run: allocations, sends, encodings. A meter
//     reads that from the admin listener before and after the load.
//   - A Sample in which a message was lost, repeated or reordered is an error
//     and not a number.
//
// Macros are written in Go's benchmark format by golang.org/x/perf/benchfmt, the
// package with which benchstat reads it: it saves us a writer of our own, and
// doubts whether both mean the same.
//
// bench/attacks measures what hostile clients cost honest ones.
//
// The command that uses both is bench/run, started by scripts/bench.sh.
//
// Concurrency: one experiment at a time, on one goroutine.
package bench
