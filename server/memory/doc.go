// Package memory watches how much memory the process has, so that the server can
// refuse work before the kernel kills it.
//
//   - Limit: what the process may have. CgroupLimit is that of its container or unit.
//   - Level: Normal; High, from nine tenths of the limit on, until four fifths; Over, from the
//     limit on, until nine tenths.
//   - Watch: the levels one after the other, from what Resident reports.
//
// It decides nothing: at High the server refuses new connections and ends those that have been
// stalled the longest, at Over it refuses publications, too (peal/server).
//
// Concurrency: a Watch belongs to one goroutine. Resident and CgroupLimit read small
// files of the kernel and must not be called on a loop.
package memory
