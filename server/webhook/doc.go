// Package webhook tells backends what happens: it POSTs events of the log to their
// endpoints, signed, in order, and at least once.
//
// Its nouns. An endpoint is a URL with the events that it wants ([Definition]). A batch is
// the events of the entries between two positions of the log; it has an ID that a repeat
// has, too. The cursor of an endpoint is the position up to which it has everything, and
// the end of the batch that is on its way. [Hooks] is a log.Tail and a log.State:
//
//	log ─ Apply ─► recent (bounded) ─┐
//	log.Reader (file, Redis) ────────┴─► deliverer of each endpoint ─► POST
//	   ▲                                     │
//	   └── cursors, changes, leases ◄────────┘  entries of kind control
//
// Before a batch is sent its bounds are appended to the log, and the next bounds say that it
// was delivered. So a restart, and another node, send the same batch with the same ID again,
// and what was delivered before it is not repeated.
//
// That a channel is occupied, how many subscribers it has, and who is a member, is not in the
// log. An observer compares the numbers of this moment with those that were reported last,
// once a second, and appends the differences as entries of kind control, which then are events
// as all others. What was reported is part of the state, so after a crash the next observer
// goes on from there.
//
// With a log that several nodes share, each endpoint has a lease, and so has the observer: its node
// delivers, or observes. A lease is taken by an entry, which counts if nobody was faster, and it ends when the node
// is gone (server/cluster). Cursors of a node that has lost it are ignored by all. A node that
// does not know whether it still lives stops. Of the nodes that live, the one with the least hash of name and
// node should have a lease: it asks the one that has it, which finishes its request and gives the lease away.
// Only a node that has the endpoint in its configuration asks, so nodes with different ones agree, too.
//
// What the endpoints are may change while Run runs (Prepare). The deliverer of one that stays goes on with the batch
// that it has.
//
// What it leaves to others: which nodes live (server/cluster), subscribers (server/hub,
// server/counts), members (server/presence), apps and their secrets (the server).
//
// Concurrency: Apply, Restore, Load and Lost are the log's; Run has one caller; any goroutine may
// call the other methods. The lock of the state is taken under the append lock, and nothing is called
// with it held.
package webhook
