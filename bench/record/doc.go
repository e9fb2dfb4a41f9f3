// Package record is the raw form of what was measured: one Record for each
// table of BENCHMARKS.md, kept as bench/results/NAME.json. The tool that measured
// writes it, and nobody changes it afterwards.
//
//   - An Environment is what the numbers depend on; Capture reads it.
//   - A Row is one line with every sample of both sides, and the Target that
//     judges it.
//   - A Run is one report of peal load, or of the chaos test, as that wrote it.
//   - A Server is one that was measured: its version and how it was started.
//
// bench, bench/catalogue and bench/run write records; bench/document makes tables
// of them. All is plain data, for one goroutine at a time.
package record
