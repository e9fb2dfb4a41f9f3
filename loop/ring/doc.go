// Package ring passes publications to the event loops: one writer at a time,
// any number of readers, no locks for the readers.
//
//   - Message: one publication, immutable, with its encodings: only those in use
//     take memory, and there may be any number of them.
//   - Ring: the newest messages, found by sequence.
//   - Reader: one loop's place in it.
//
// Messages enter in the order of their sequences, which may have holes. The ring
// never overwrites messages that a reader has not taken: Room returns false instead,
// and the log refuses the publication. Messages that all readers have taken are
// released, so that an idle ring does not keep memory.
//
// Concurrency: only the writer calls Room and Publish, under its own lock (the
// append lock of the log); each Reader belongs to one goroutine, but for its methods
// that any goroutine may call.
package ring
