// Package file is the log engine that survives a restart: it appends entries to
// segment files in one directory before it hands them to its tail.
//
// Its nouns. A record is one entry with a checksum. A segment is a file of
// consecutive records behind a header; the newest one is active, the others are
// never written again. The policy says when what was written is synced, and so
// what a subscriber may have been shown when the power fails. A life is the time
// from a start to its end: each begins a new epoch that knows its predecessors,
// and up to where the directory holds each, whatever ended it: a stop, a power
// failure, or a backup that was put in its place. docs/log.md has the layout, and
// what each policy promises.
//
// It leaves to others what can be resumed (server/hub, which is fed the log's
// entries again at the start), and when an engine is too far ahead of its
// readers (the tail).
//
// Concurrency: any goroutine may append; a short lock gives the number. One
// goroutine, the writer, writes, syncs and feeds the tail; from Start to Close all
// files that are written are its own. Any goroutine may Read, and opens files for it.
package file
