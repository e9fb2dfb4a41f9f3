// Package bench measures servers end to end, with loadtest as the client.
//
//   - A Command starts a Server, a fresh one for each sample: Peal, the ceiling, or
//     another server.
//   - The ceiling (ceiling/ceiling.c) is a broadcaster that does the least possible
//     on this kernel. If Peal were much faster, the ceiling would be defective.
//   - An Experiment measures one or several rows of a table together. Side A is
//     what the target is about; side B, if any, is what A is compared with. The
//     sides alternate, A B B A A B …, so that a slow minute of the machine affects
//     both.
//   - A Macro is a benchmark of one server, for comparing two builds. Its Measures
//     are CPU time and latency, and what the server itself counts, which is the
//     same in each run: allocations, sends, encodings. counters.go reads those from
//     the admin listener before and after the load.
//
// A sample in which a message was lost, duplicated or reordered is an error, not a
// number.
//
// Macros are written by golang.org/x/perf/benchfmt, the package with which
// benchstat reads them, so both agree on the format.
//
// bench/attacks measures the cost of hostile clients for honest ones. The command
// is bench/run, started by scripts/bench.sh.
//
// Concurrency: one experiment at a time, on one goroutine.
package bench
