// Package evict chooses the connections to close when a limit on memory is reached.
//
//   - Holder: one connection, the bytes that are kept for it, and its share (the
//     group that it is counted with, by address: peal/server/share).
//   - Choose: the holders to evict. The heaviest are first; the weight of a holder
//     is its own bytes times those of its whole share. One connection that holds
//     much is heavy, and so is each of a thousand that hold a little from one
//     address. A small holder in a small share is the last, whichever connection
//     caused the excess and however long the holder has been there.
//
// It is pure: no clock, no state. It imports nothing of Peal; loop and loop/fanout
// use it.
package evict
