// Package distributed is an engine of the log whose entries are in a store that several
// nodes share: each appends to it, and each reads all of it, in one order.
//
// Its nouns. A [Store] keeps the entries, and what the nodes must agree on ([Meta]). A
// [Call] is what a node sends to it: everything that was appended since the call before.
// There is one call at a time, and it has a number, so that it can be repeated after a
// connection was cut, and has its effect once. A [Log] is one node.
//
//	Append ─► queue ─► Flush ─► Store ─► Follow ─► tails, restored histories
//	                     │                  │
//	                     └──── done ◄───────┘  when the node has read what it has appended
//
// # A store that has less than before
//
// Each entry has a random check, and that of the entry before it. A node knows the
// checks of the newest entries that it has seen, so it notices a store that was
// restarted with less, replaced by a replica that lacked something, or emptied:
//
//   - A store accepts calls only after Begin has run there (the Store's responsibility), and
//     Begin begins an epoch: its predecessor is good up to the last entry that is left, and
//     its sequences go on Jump, and a random number, beyond all that was seen. A sequence is not used twice,
//     even if the store loses the beginning of an epoch.
//   - A node that has seen more than is left appends an entry that says so ([EventLost]). At
//     this entry each node tells its tails (log.Loser), whose readers have a gap. Only if all
//     nodes that have seen the lost entries are gone, too, nobody knows of them.
//
// # Concurrency
//
// Append may be called from any goroutine. Flush has one caller, and so has Follow: Run has
// a goroutine for each; a simulation calls them itself.
package distributed
