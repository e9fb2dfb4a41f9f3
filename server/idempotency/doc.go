// Package idempotency remembers the keys of published messages, so that a
// publisher that does not know whether its message was accepted can publish it
// again and no subscriber receives it twice.
//
// Its nouns. A [Key] names one message of one publisher on one channel. A
// [Digest] stands for the content of a message: the same key with another digest is
// a conflict, because one of the two is a mistake. Every attempt to publish is a
// [Claim] to the [Table]: the first attempt publishes, and its key is settled or
// released when the log has accepted or refused the message; others wait for it, or
// get its sequence. A released key is free, as if there had been no attempt.
//
// Limits: a key is remembered for the window. A share (server/share) has a limited
// number of keys; beyond it the table refuses its claims, so that every accepted key
// stays remembered. When the whole table is full, the oldest keys of the largest
// share are evicted in favour of smaller ones; a late repeat of an evicted key is
// published again, and evictions are counted. While the oldest key of the largest
// share is pending there is no room, and claims are refused, as they are when too
// many attempts wait.
//
// What it leaves to others: the log has the keys in its entries, and the caller that
// replays a log passes them to Restore; a waiting attempt has a callback, which
// responds to its publisher.
//
// Concurrency: any goroutine may call any method. One lock is held for the keys
// of one message at a time, never while a callback runs.
package idempotency
