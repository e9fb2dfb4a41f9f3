// Package ban remembers which clients the backend has disconnected, for a
// while: event streams and pollers come back by themselves, and so would every
// client that reconnects.
//
// Its noun is the ban: a name that clients give themselves, until a moment. The
// last word about a name holds, whether it is longer or shorter than the one
// before. The table is in memory. server/control, which changes it, writes bans to the
// log, and restores them from a log that survives a restart.
//
// There is room for so many bans, and for so many of one share (server/share).
// Whoever asks for more is told whom it cannot keep away. When the whole table is
// full the largest share gives up the bans that would end first to smaller ones;
// they are counted.
//
// What it leaves to others: ending the connections there are (loop), turning
// away those that come, and saying so in each dialect (server/httpapi).
//
// Concurrency: any goroutine may call any method. One lock, held for the names
// of one call; while nothing is banned Has takes none, for it is asked about
// every named connection that comes.
package ban
