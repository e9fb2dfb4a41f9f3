// Package presence has the members of each channel.
//
// Its nouns. A member is one client, by the name that it sends, on one channel,
// whatever the number of its connections. It is present while it has a connection,
// and leaving for a grace period after its last: a reconnect, and the time between
// two polls, therefore cause no leave and join. An Event describes how the members
// of a channel have changed since the event before. A channel is watched while
// clients are subscribed to its events; a channel without watchers has no events,
// and costs only its members.
//
// A Guest is one connection with one name or several, and the channels on which
// it is listed under them.
//
// It is not an error if the Table has no room for a client: the client is not
// listed, like one without a name. A share (server/share) has a part of the room.
// When the whole room is in use, members of the share with the most members are
// evicted in favour of smaller shares, and inside a share members that have left in
// favour of new ones: account.go.
//
// With a log that several nodes share, each node's Table has the members of that node, and
// tells the log of them (Report). A [Cluster] has those of all nodes, which it makes of the log,
// and so do the events: Feed puts it in front of the hub. Deltas tell of changes, states of all
// members of a node when another has come; delta.go has their form.
//
// What it leaves to others: access control (server/permit) and the names of
// connections (server/subscribe), appending events to the log and calling Tick and Sweep
// (server), encoding events (server/publication and the dialects).
//
// Concurrency: any goroutine may call any method, but Tick, Report and Sweep have one
// caller, which Work signals. A channel belongs to one of 64 shards, each with a
// lock that is held for bounded work: see BenchmarkHold and BenchmarkWait. No lock
// is held while events are published. Sweep queries the subscribers of the hub under
// a shard's lock; the lock of the accounts comes last:
//
//	presence shard.mu → hub shard.mu
//	presence shard.mu → accounts.mu
//	presence shard.mu → reporter.mu
//	append lock → Cluster.mu → hub shard.mu, the lock of the nodes
//	presence shard.mu → Cluster.mu
package presence
