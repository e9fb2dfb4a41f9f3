// Package idempotency remembers what was published under which key, so that a
// publisher that does not know whether its message arrived can publish it again
// and nobody gets it twice.
//
// Its nouns. A [Key] names one message of one publisher on one channel. A
// [Digest] stands for what was published: the same key with another digest is a
// conflict, for one of the two is a mistake. The [Table] is told of every attempt
// by a [Claim]: the first goes ahead and is settled or released when the log has
// spoken; others wait for it, or get its sequence. A released key is free, as if
// nothing had happened.
//
// Limits and what becomes of what is beyond them: a key is remembered for the
// window. A share (server/share) may have so many keys; beyond it its claims are
// refused, so that what was accepted stays remembered. When the whole table is
// full the largest share gives up its oldest keys to smaller ones, which are then
// published again if they are repeated late; they are counted. While the oldest of
// the largest is still pending there is no room, and claims are refused, as they
// are when too many wait.
//
// What it leaves to others: the log has the keys in its entries, and whoever
// replays a log hands them to Restore; who waits is answered by its own callback.
//
// Concurrency: any goroutine may call any method. One lock is held for the keys
// of one message at a time, never while a callback runs.
package idempotency
