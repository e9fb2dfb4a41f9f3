// Package gate decides whether one build of a server is worse than another.
//
//   - A Config (bench/gate.yaml) sets what is judged: for each Metric whether its
//     figures are exact or noisy, and how much worse they may become.
//   - A Checkout unpacks and builds a commit of the repository, or builds its working
//     tree.
//   - A Contest runs benchmarks (bench.Macro) on two builds alternately, A B B A, and
//     collects Samples.
//   - Judge computes a Result from samples: a Figure with a Verdict for each benchmark
//     and unit, and one exit code. Exact figures are compared within a margin; noisy ones
//     by the interval of the logarithm of head/base, from pairs, whose level is corrected
//     for all figures of the run and for two looks.
//   - A Result is written as JSON (schema 2) and as Markdown for a pull request. It adds a
//     Row to a history, in which changePoints finds a Drift.
//
// What head could loosen is compared with base: Config.Tighten, Result.Expect, Rewritten.
// docs/gate.md explains the decisions.
//
// Concurrency: one contest at a time, on one goroutine; the rest is plain data.
package gate
