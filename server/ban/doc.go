// Package ban remembers which clients the backend has disconnected, for a while:
// event streams and pollers reconnect by themselves, and so do other clients.
//
// Its noun is the ban: a name that clients send, until a moment. The last request
// for a name counts, whether its window is longer or shorter than the one before.
// The table is in memory. server/control, which changes it, writes bans to the
// log, and restores them from a log that survives a restart.
//
// The number of bans is limited, in all and for one share (server/share). A request
// for more gets the names that cannot be kept away. When the whole table is full,
// the bans of the largest share that would end first are evicted in favour of
// smaller shares; evictions are counted.
//
// What it leaves to others: ending existing connections (loop), refusing new ones
// (server/permit), and the form of the refusal in each dialect (server/dialect).
//
// Concurrency: any goroutine may call any method. One lock, held for the names
// of one call; while nothing is banned Has takes none, because it is called for
// every new named connection.
package ban
