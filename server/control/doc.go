// Package control keeps what is decided about clients and tokens, and brings it into
// the log, so that a restart and a second node get it without another protocol.
//
// Its nouns. An order is a decision: these clients are kept away until then, or let
// in again; these tokens are revoked. It is an entry of kind control, which no
// subscriber receives. [Control] gives orders, and is the log's tail that follows
// those of others: small, so that it always keeps up. Its state is what all orders up
// to now have led to; the engine saves it before retention removes the entries
// (log.State). If the engine cannot have all orders, as with the log in memory, the
// state has a floor: tokens that were issued before the start are refused.
//
// An order has its effect on this server before it is in the log, and keeps it if the
// log refuses it; its request then reports that it is not durable. Orders have
// one order here and in the log, so a restart ends with the state that was. Where other
// nodes give orders, too, the log decides between them: a node's own order holds there until it
// comes by the log, and what was before it in the log is overruled. The state that is saved
// is what the log says, without orders that are not in it (apart.go).
//
// Orders of other nodes have connections ended here, too (Share).
//
// What it leaves to others: which clients are banned at the moment (server/ban), which
// tokens are revoked (server/revoke), ending connections, and who may give orders
// (server/permit).
//
// Concurrency: any goroutine may call any method but Apply, Restore, Load and Lost,
// which are the log's.
package control
