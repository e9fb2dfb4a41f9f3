package log

import (
	"errors"
	"fmt"
)

// Errors of Log.Append.
var (
	// ErrFull means that the slowest reader is too far behind for the batch to
	// be accepted. Nothing was appended; try again later.
	ErrFull = errors.New("log: full: the slowest reader is too far behind")

	// ErrStorage means that the log cannot be written: its disk is full or
	// failing. Nothing was appended; the log takes itself up again when it can be.
	// It is also what done is given for a batch that could not be written.
	ErrStorage = errors.New("log: cannot be written")

	// ErrUnavailable means that the store of the log, which several nodes share, cannot
	// be reached. Given to done, it means that the batch may be in the log or not: a
	// repeat with the same idempotency keys finds out. Given by Append, nothing was sent.
	ErrUnavailable = errors.New("log: the store cannot be reached")

	// ErrConflict is given to done for a batch that has an idempotency key with which
	// another node has published another message. Nothing was appended.
	ErrConflict = errors.New("log: the idempotency key was used for another message")

	// ErrClosed means that the log was closed. Nothing was appended, and never
	// will be.
	ErrClosed = errors.New("log: closed")
)

// MissingError is an error of Reader.Read: entries behind After, up to Upto, are not
// in the log any more. Reading goes on behind Upto. A tail that must have
// them has a gap there.
type MissingError struct{ After, Upto uint64 }

func (e *MissingError) Error() string {
	return fmt.Sprintf("log: the entries from sequence %d to %d are not in the log any more", e.After+1, e.Upto)
}

// Errors of parsing.
var (
	// ErrCursor means that a text is not a cursor in its one canonical form. To
	// a client that is a gap, never a refused request.
	ErrCursor = errors.New("log: not a cursor")

	// ErrEntry means that bytes do not begin with a whole entry in a version
	// this package reads.
	ErrEntry = errors.New("log: not an entry")
)
