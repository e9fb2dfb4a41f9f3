// Package revoke remembers which tokens the backend has revoked, until none of them
// can be valid any more.
//
// Its nouns. An [Order] names tokens: those of some subjects that were issued up to a
// moment, and those with some IDs. The [Table] has what all orders have led to. Its
// floor stands for what it cannot know: tokens that were issued before it are
// refused, whoever has them. A server has a floor if it started without knowing all
// orders of its earlier lives.
//
// Times of tokens have a resolution of one second. A token of a revoked subject is
// refused if it was issued in the second of the order, or before; one that does not
// say when it was issued counts as issued in 1970. A token that was issued in the
// second of the floor is accepted, because the clients that come back after a start
// fetch their new tokens in that second.
//
// What is revoked stays so as long as a token of the longest lifetime can be valid: by
// the clock, in whose time tokens expire, and at least for that time since the order
// was given, whatever happens to the clock in between. Where the clock moves back,
// revocations last longer; they never end early.
//
// The number of names is limited. An order that does not fit is refused as a whole,
// because an order that is accepted must hold. There are no shares (server/share):
// orders come from backends with a key, and one of them must not evict what another
// has revoked. Orders that a server reads from its log cannot be refused: where they
// do not fit, the floor rises instead.
//
// What it leaves to others: orders as entries of the log (server/control), ending
// connections (loop, server/httpapi), and refusing tokens (server/permit).
//
// Concurrency: any goroutine may call any method. One lock, held for the names of one
// call. While nothing is revoked Has takes none, because it is called for every
// request with a token.
package revoke
