// Package fanout decides which bytes each connection of one event loop is sent
// next. It is pure logic: no sockets, no goroutines; a Sender, an Encoder, a
// Source (the history) and, for Latency, a clock are given to it, so that a
// simulation can be all of them.
//
//   - Member: one connection that receives; it holds one position in the log
//     and never a queue of publications.
//   - View: all members with the same channels in the same encoding. The merge
//     by sequence is done once for a view, not once for each member.
//   - Matcher: a channel of a subscription that has the messages of all channels whose
//     names match a pattern.
//   - Bundle: the views of several channels that have one channel in common. What
//     waits for the small ones among them is kept once for the channel.
//   - Strip: contiguous ready-made bytes of a view with an index of
//     (sequence, end). It exists while it serves somebody: during a pass over a
//     view or a bundle, or while members that fell behind read the history together.
//   - Lane: a small private queue of one member: the rest of a half-sent
//     message, heads, pongs, notices. It goes out before anything else.
//   - Flight: one send that the Sender has not reported yet, at most one for each
//     member. It may take any number of turns.
//   - MemberState: a member as plain data, which a Fan of another process goes on with.
//
// The journey: Apply takes messages from the ring and marks the views they
// touch; Flush visits members, a limited number in a turn, and calls the Sender, which
// reports at once or later. If a socket does not accept all bytes, the member keeps a
// position, and continues from it after Writable. A member that is further behind
// than the strips reads the history, and receives a gap if messages are missing there.
//
// Concurrency: a Fan belongs to one goroutine. DESIGN.md beside this file has
// the states and invariants.
package fanout
