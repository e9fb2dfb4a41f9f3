// Package evict chooses who gives up room when a limit on memory is reached.
//
//   - Holder: one connection, the bytes that are kept for it, and its share (the
//     group that it is counted with, by address: peal/server/share).
//   - Choose: the holders that go. The heaviest go first; the weight of a holder
//     is its own bytes times those of its whole share. One connection that holds
//     much is heavy, and so is each of a thousand that hold a little from one
//     address. A small holder in a small share is the last to go, whoever asked
//     for the bytes that were too many and however long it has been there.
//
// It is pure: no clock, no state. A leaf, for loop and loop/fanout.
package evict
