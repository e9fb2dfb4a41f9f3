// Package cluster knows the nodes of a log that several servers share: which of them
// live, what they can read, and how far each has read. It learns all of it from the log.
//
// Its nouns. A node is one life of a server over the log, with an id that the engine gives
// it. It appends an entry of kind control when it begins (the hello), one each second (the heartbeat,
// in the same form) and one at its end. A lease is how long a node may be silent: after that
// another node appends that it is dead. The entry names the last heartbeat that its author
// knows, and has no effect if there was another one before it, so every node decides the
// same at the same entry. A node that was declared dead, because it was stopped or cut off, says
// hello again when it finds out.
//
// Leases are measured by each node's own monotonic clock, from the moment at which it applied a
// heartbeat, and only while it is current: a node that was itself stopped, or could not read the
// log, gives all others a new lease.
//
// [Cluster] is a log.Tail that always has room. It reports hellos and ends in the order
// of the log; a tail behind it that has something of each node, such as presence,
// asks Live before it believes an entry of a node.
//
// A format is the version of everything that nodes write for one another. A node writes the
// newest one that all nodes read (Format), and does not start on a log in which others
// use a newer one than it reads (Check).
//
// There is no state to checkpoint (log.State): the heartbeats of a second bring all of it
// again, and what else depends on nodes is repeated after each hello.
//
// Concurrency: Apply, Restore and what OnHello and OnGone were given run under the append lock
// of the log. Any goroutine may call the other methods. The lock of the Cluster is taken
// under the append lock and never the other way round.
package cluster
