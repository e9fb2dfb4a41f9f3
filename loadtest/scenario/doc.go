// Package scenario runs load tests and reports what came out.
//
//   - A Target is a server and a way to reach it: ws, sse+http, poll+http,
//     peal+ws.
//   - Settings say what to do; their Check names every mistake before anything is
//     opened.
//   - A scenario is one of All: connect, fanout, mixed, storm, restart, ramp, soak,
//     versus. Run runs it and returns a report.Report.
//   - A server is the program under test, where the experiment starts it itself.
//   - A probe reads what the server uses, from /proc or from its metrics.
//
// The fleet, the publishers and the counting are loadtest's; what a report says,
// report's. cmd/peal makes flags of the settings.
//
// Concurrency: one Run at a time in a process; it calls Settings.Progress on its
// own goroutine. The end of its context ends it early, with a report.
package scenario
