// Package document makes the tables of BENCHMARKS.md and docs/transports.md of
// the records in bench/results.
//
//   - A region is what stands between the comments "table: NAME" and "end: NAME"
//     in a document; nobody writes there by hand.
//   - A table is how a record of that name is shown. Its head is the command, the
//     number of samples and the environment, as the record has them.
//   - A summary is derived from several records: what we lose, what is only
//     extrapolated.
//   - A reason is the sentence that a loss must have, in reasons.go.
//
// It reads files and measures nothing; bench/catalogue does. A record without a
// region, a region without a record, and a loss without a reason are errors: what
// is not shown, or shown without its cause, is not known. One goroutine at a time.
package document
