// Package rate limits how often something may happen, with token buckets.
//
// Its nouns. A [Limit] is a rate and a burst, as in 100/s burst 200. A bucket
// belongs to whatever is limited, which a [Key] stands for: a connection, a key of a
// backend, a user, or one of these on one channel. A bucket is full at first and
// holds as many tokens as the burst; each action takes tokens, and the rate brings
// them back. The [Table] has the buckets, a fixed number of them in 16 bytes each, so
// memory does not depend on how many keys clients come up with.
//
// A bucket is only the moment at which it will be full (the generic cell rate
// algorithm): an integer number of nanoseconds, so that nothing is lost by rounding,
// and a bucket that is full can be forgotten, because a new one is full as well.
//
// When all places for a bucket are taken by buckets that are not full, the one that
// will be full first is forgotten: its owner may use its burst earlier than it should.
// The table never refuses anything for lack of room.
//
// A Table has its own locks, held for some nanoseconds, because the messages of a
// batch are counted by workers and those of a user on several loops; any goroutine
// may call it. It does not allocate after the first use of each of its parts.
package rate
