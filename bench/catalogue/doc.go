// Package catalogue says what is measured for BENCHMARKS.md, and measures it: an
// Entry for each table, which gives a record.Record.
//
// A Kit starts servers, fresh ones for each run, and the programs that load them:
// scripts/bench.sh and scripts/chaos.sh, which write what they found, and peal
// load. It prints each command before it runs it. Other servers are built or
// unpacked into a folder that is deleted; nothing is installed. One that cannot be
// had is named in the record as missing.
//
// The whole catalogue takes less than 20 minutes on two processors. What is to be
// shorter is Quick, and says so in the record. One goroutine; whatever was started
// ends with the context.
package catalogue
