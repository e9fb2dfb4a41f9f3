// Package report says what a load test found: to people, to programs, and as an
// exit code.
//
//   - A Report is everything known of one run. Its JSON form has a schema number;
//     docs/loadtest.md lists the names, which change only with the number.
//   - An Objective is a condition that makes a run fail, "p99>50ms". What was not
//     measured is never met by default: see Judge.
//   - Limits are what the generator must have kept for a run to be valid.
//   - WriteText, WriteCSV, WriteHgrm and WritePage write a report; Compare sets
//     two side by side.
//
// It measures nothing and starts nothing; loadtest/scenario does. Everything here
// is plain data: one goroutine at a time.
package report
