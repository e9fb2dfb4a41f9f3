// Package record is the raw form of what was measured: one Record for each
// table of BENCHMARKS.md, kept as bench/results/NAME.json, written by the tool
// that measured and changed by nobody afterwards.
//
//   - An Environment is what the numbers depend on; Capture asks the machine.
//   - A Row is one line with every sample of both sides, as bench measures them.
//   - A Run is one report of peal load, or of the chaos, as that wrote it.
//   - A Server is one that was measured: its version and how it was started.
//
// bench/document makes tables of records. Nothing here measures; all is plain
// data, for one goroutine at a time.
package record
