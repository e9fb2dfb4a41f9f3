// Package gate decides whether one build of a server is worse than another.
//
//   - A Config (bench/gate.yaml) says what is judged: for each Metric whether its
//     figures are exact or noisy, and how much worse it may become.
//   - A Checkout builds a commit of the repository, or its working tree, apart
//     from what the user has checked out.
//   - A Contest runs benchmarks (bench.Macro) on two launchers in turns, A B B A,
//     and collects Samples.
//   - Judge makes a Result of samples: a Figure with a Verdict for each benchmark
//     and unit, and one exit code. Exact figures are compared within a margin;
//     noisy ones by Mann-Whitney's test, Holm-corrected over the whole run.
//   - A Result is written as JSON (schema 1), as Markdown for a pull request, and
//     its samples as Go benchmark results.
//
// Statistics are golang.org/x/perf/benchmath's. docs/gate.md says how it decides.
//
// Concurrency: one contest at a time, on one goroutine; the rest is plain data.
package gate
