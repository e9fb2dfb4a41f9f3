// Package presence knows who is on which channel.
//
// Its nouns. A member is one client, by the name it gave itself, on one
// channel, whatever the number of its connections. It is present while it has
// one, and leaving for a grace period after its last: so that a reconnect, and
// the time between two polls, are no leave and join. An Event says how the
// members of a channel have changed since the one before. A channel is watched
// while somebody wants its events; one that nobody watches has none, and costs
// nothing but its members.
//
// A Guest is one connection with a name, or several, and the channels on which
// it is listed under them.
//
// A client that finds no room in the Table is not an error: it is not listed,
// as one without a name. A share (server/share) has a part of the room. When all
// of it is in use, the share with most members gives some up to smaller ones, and
// inside a share those that have left make room for those that come: account.go.
//
// What it leaves to others: who may be where and which connection gives which
// name (server/httpapi), bringing events into the log and calling Tick and
// Sweep (server), writing them (server/publication and the dialects).
//
// Concurrency: any goroutine may call any method, but Tick and Sweep have one
// caller, who also says when (Work). A channel belongs to one of 64 shards, each
// with a lock that is held for bounded work: see BenchmarkHold and BenchmarkWait. No lock is
// held while events are published. Sweep asks the hub who is subscribed, under
// a shard's lock; the accounts of the shares come last:
//
//	presence shard.mu → hub shard.mu
//	presence shard.mu → accounts.mu
package presence
