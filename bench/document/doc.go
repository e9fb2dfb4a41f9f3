// Package document generates the tables of BENCHMARKS.md, docs/transports.md and docs/deploy.md
// from the records in bench/results.
//
//   - A region is the text between the comments "table: NAME" and "end: NAME" in a
//     document. It is not edited by hand.
//   - A table shows the record of that name. Its head has the command, the number
//     of samples and the environment of the record.
//   - A summary is derived from several records: the losses, the extrapolations.
//   - A reason is the explanation that every loss must have, in reasons.go.
//
// It reads files and measures nothing; bench/catalogue does. A record without a
// region, a region without a record, and a loss without a reason are errors. One
// goroutine at a time.
package document
