// Package machine checks whether a machine is ready for a Peal server with a given
// configuration: limits, kernel settings, memory, clock, disk and permissions.
//
// A [Machine] is what the checks read. Most of it are files below /proc, /sys and the
// directories of the configuration, which tests replace by a file system of their own;
// what is in no file comes through functions. A check reads and writes nothing else,
// except that the sync of the log's disk is measured with a file that it removes.
//
// Thresholds are in the checks, each with its reason. They are about the number of
// connections that the server may have.
package machine
