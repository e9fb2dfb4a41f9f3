// Package hub has the channels: their subscribers, their history, and the position
// up to which messages are gone.
//
// Its nouns. The Hub reads the log as its tail: every publication and every
// presence event becomes one ring.Message, the same object in the ring and in the
// history of each of its channels. A channel exists while it has subscribers or
// history. Its history holds the newest publications within the limits of its rule.
// Its discarded is the highest sequence ever dropped from it: a reader after an
// earlier one has a gap, a reader after that or a later one has none. When a channel
// is forgotten, its discarded is recorded under its hash. When there are too many
// records, those with the lowest sequences are folded into the watermarks of
// their hash buckets, with which every channel of such a bucket begins: a gap is
// never missed, and a false one needs a cursor older than a folded record, and a
// collision with it. Presence of a channel goes to the server's channel
// log.PresencePrefix + its name, which retains nothing: all of it is discarded.
//
// For matchers, which have the messages of all channels with certain names, the hub
// records where each publication went, in their order (RecordOrder): the newest 65,536, or as many as
// are retained, if these are more. What a matcher has is what those channels retain.
//
// Another process can go on with a hub (HandOver, Succeed): it tells each reader what this one would have told.
// What is recorded by hash goes there, too, so the hash is keyed with a secret that is handed over.
//
// What it leaves to others: sequences and durability (server/log and its
// engines), waking and feeding loops (loop/ring), reading for subscribers and
// sending them gaps (loop/fanout, whose Source the Hub is), and access control.
//
// Concurrency: any goroutine may call any method but Apply, whose calls the
// log's append lock serializes. Lock order, outermost first:
//
//	append lock of the log → Hub.order → shard.mu
//
// At most one shard is locked at a time. Readers hold the lock of one shard, for
// bounded work, and never wait for Hub.order with it: an append waits for a reader
// at most as long as it takes to copy MaxRead pointers, and only if both use the
// same shard.
package hub
