// Package fake is a log that several nodes share in one process, for tests of what nodes
// do together. It keeps its promises (log.Distributed) without a store: one order, which
// every node applies.
//
// Its nouns. A [Store] has the entries; a [Node] is the engine of one server over it. A node can
// be held, as if its process were stopped: it applies nothing until it is released. A
// store can be failing, and can trim entries, after which a new node starts from the state
// that was saved before.
//
// A node gets entries of its own memory, in the binary form in which a store would have
// kept them.
//
// Concurrency: any goroutine may call any method. One lock is the append lock of all nodes.
package fake
