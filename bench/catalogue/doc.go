// Package catalogue lists what is measured for BENCHMARKS.md and measures it: an
// Entry for each table, described in catalogue.yaml, produces a record.Record.
//
// A Kit starts servers, fresh ones for each run, and the programs that measure:
// scripts/bench.sh, scripts/chaos.sh and peal load. It prints each command before
// running it. Other servers are built or unpacked in a temporary folder (servers.sh);
// nothing is installed. The record lists those that are not available as missing.
//
// The whole catalogue takes less than 20 minutes on two processors. Quick uses
// small sizes, and marks the record. One goroutine; everything that was started
// ends with the context.
package catalogue
