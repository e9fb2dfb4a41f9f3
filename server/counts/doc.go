// Package counts has how many subscribers the channels have on the other nodes of a log that
// several servers share, so that answers about channels are for the whole cluster.
//
// Its nouns. A node reports a channel when its number of subscribers has changed: once a second,
// in entries of kind control, the channels that changed and nothing else. After another node has
// come it reports all of its channels once more, as a state, which replaces what others had of
// it. A [Table] has what the others have reported. A [Directory] is a hub whose answers have their
// subscribers, too. Numbers are absolute, so an entry that comes twice or late does no harm,
// and an entry that is lost is repeated.
//
// A node that idles appends nothing. With a log of its own a server has no Table.
//
// What it leaves to others: which nodes there are (server/cluster), the channels of this
// node (server/hub), who is a member (server/presence).
//
// Concurrency: Apply, OnHello and OnGone run under the append lock; Step has one caller; any
// goroutine may call the other methods. The lock of the Table is the last one.
package counts
