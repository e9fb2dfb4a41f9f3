// Package memory is the log engine that keeps nothing: it numbers entries and
// hands them to its tail, whose history is all that is retained. A restart is
// a new epoch.
//
// It leaves to others what is kept and for how long (server/hub), and whether
// there is room (the tail; in the end the ring).
//
// Concurrency: any goroutine may append; one mutex, held from the number to
// the end of Tail.Apply, makes the one order. Everything under it is bounded,
// so Append never waits for a reader, only for other appends.
package memory
