// Package tally counts what clients did and were refused: [Counts] on one
// goroutine, a [Shared] for the goroutines that respond instead of a loop, and
// [Stats], the sum that an operator sees.
package tally
