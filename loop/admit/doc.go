// Package admit decides which new connections a server takes, and what becomes of
// those that it refuses.
//
//   - Rate and Bucket: a token bucket, as one moment. Buckets has many of them by key
//     in a fixed amount of memory.
//   - Counts: how many connections each address has.
//   - Admission: the limits together. Each new connection gets a Reason to refuse it,
//     or None; Pause is how long accepting must wait for the total rate, meanwhile
//     connections wait in the backlog of the kernel.
//   - Refusals: the budget of refusals that have the form of the client's transport.
//     Beyond it, a connection that is refused is closed without a response.
//
// An address is a number here, its share (peal/server/share: an IPv4 address, an
// IPv6 /64). An address beyond its own rate draws nothing from the total rate, so it
// cannot make others wait. Connections that are not limited by address have no key.
//
// Nothing here grows with the number of addresses that connect: Counts has an entry for an
// address only while it has a connection, and Buckets forgets the fullest bucket when
// a set of them has no room, which can only make it take more of its owner.
//
// Concurrency: one loop accepts, and connections end on any loop, so an Admission has a
// lock, held for nanoseconds. No clock, no system call: the time is an argument.
package admit
