// Package report describes the results of a load test: for people, for programs,
// and as an exit code.
//
//   - A Report is everything known of one run. Its JSON form has a schema number;
//     docs/loadtest.md lists the names, which change only with the number.
//   - An Objective is a condition that makes a run fail, "p99>50ms". If its metric
//     was not measured, it is neither met nor missed: see Judge.
//   - Limits are what the load generator must have kept for a run to be valid.
//   - WriteText, WriteCSV, WriteHgrm and WritePage write a report; Compare shows
//     two side by side.
//
// It measures nothing and starts nothing; loadtest/scenario does. Everything here
// is plain data: one goroutine at a time.
package report
