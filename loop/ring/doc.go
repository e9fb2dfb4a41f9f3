// Package ring hands publications to the event loops: one writer at a time,
// any number of readers, no locks for the readers.
//
//   - Message: one publication, immutable, with its encodings: only those that
//     somebody has asked for take memory, and there may be any number of them.
//   - Ring: the newest messages, found by sequence.
//   - Reader: one loop's place in it.
//
// Messages enter in the order of their sequences, which may have holes. The ring
// never overwrites what a reader has not taken: Room says no instead, and the
// log answers "full" to the publisher. What all readers have taken is let go,
// so that an idle ring does not pin memory.
//
// Concurrency: Room and Publish are the writer's, who brings his own lock (the
// log's append lock); each Reader belongs to one goroutine, and Applied alone
// may be called from anywhere.
package ring
