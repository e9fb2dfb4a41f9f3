// Package scenario runs load tests and reports the results.
//
//   - Settings describe a run; check reports all their mistakes before anything is
//     opened. One table, rows, has their flags, the keys of scenario files (Read, Print),
//     the JSON Schema and the documentation.
//   - A scenario is one of all: fanout, connect, mixed, storm, restart, ramp, soak,
//     versus. Run runs it and returns a report.Report.
//   - An experiment is one Run, a session its open subscribers and publishers:
//     with opens and closes it for every scenario.
//   - A probe reads what the server uses, from /proc or from its metrics.
//
// loadtest has the targets, subscribers, publishers and counters,
// loadtest/report the report, loadtest/child the programs that are started.
//
// Concurrency: one Run at a time in a process; it calls Settings.Progress on its
// own goroutine. If its context ends, it ends early, with a report.
package scenario
