// Package pattern matches the names of channels. The rules of channels, tokens and
// keys use the same patterns.
//
// A [Pattern] is a text of 1 to [MaxBytes] characters as in names, in which two are
// special. * stands for any characters, also none, and also . and /. \ makes the
// next character, which must be * or \, stand for itself: \* is a star. [Escape]
// makes a pattern of any name. Names that begin with $ are reserved for the server:
// only a pattern that begins with $ matches them, so a star never stands for a
// leading $.
//
// What it leaves to others: which pattern applies to a channel, and what then
// holds.
//
// A Pattern never changes: any goroutine may call its methods. Match does not
// allocate.
package pattern
