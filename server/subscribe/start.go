package subscribe

import (
	"bytes"
	"math"
	"strconv"

	"peal/loop/fanout"
	"peal/server/log"
	"peal/server/refusal"
)

// maxLast bounds last=N; what is retained bounds it further.
const maxLast = 1 << 20

// maxLastOfSeveral bounds it where the newest of several channels must be found
// among all of theirs: a step for each of them, on the loop.
const maxLastOfSeveral = 1000

// Found in where a subscription begins.
var (
	ErrCursorAndLast = refusal.Contradiction("cursor and last", "the one says after which message to begin, the other with how many: send one of them")

	errLast          = &refusal.Error{Status: 400, Code: "bad_last", Message: "last must be a number of messages, 0 or more"}
	errLastOfSeveral = &refusal.Error{Status: 400, Code: "bad_last", Message: "with several channels last is at most 1000: request fewer messages, or one channel at a time"}
)

// Start is where a subscription or a page of history begins.
type Start struct {
	From     fanout.From
	Sequence uint64 // After
	Count    int    // Last
	Behind   bool   // another node has handed out the cursor, and this one has not read as far: permit.Request.Behind
}

// Resolver knows which cursors still mean something: a log.Log.
type Resolver interface {
	Resolve(c log.Cursor) (sequence uint64, ok bool)
}

// NewStart returns where a subscription to so many channels begins: after the
// cursor, else with the newest messages asked for, else now. Both are as they
// were sent, empty for none.
func NewStart(r Resolver, cursor, last []byte, channels int) (Start, *refusal.Error) {
	switch {
	case string(cursor) == "earliest":
		return Start{From: fanout.Earliest}, nil
	case len(cursor) > 0:
		c, err := log.ParseCursor(cursor)
		if err != nil {
			return Start{From: fanout.Foreign}, nil
		}
		return after(r, c), nil
	case len(last) == 0:
		return Start{From: fanout.Now}, nil
	}
	n, err := ParseCount(last)
	switch {
	case err != nil:
		return Start{}, errLast
	case n > maxLastOfSeveral && channels > 1:
		return Start{}, errLastOfSeveral
	case n == 0:
		return Start{From: fanout.Now}, nil
	}
	return Start{From: fanout.Last, Count: min(n, maxLast)}, nil
}

// after is where a client begins that has the cursor.
func after(r Resolver, c log.Cursor) Start {
	sequence, ok := r.Resolve(c)
	if ok {
		return Start{From: fanout.After, Sequence: sequence}
	}
	if shared, is := r.(log.Distributed); is {
		if shared.Ahead(c) {
			return Start{From: fanout.Foreign, Behind: true}
		}
		if sequence, ok = r.Resolve(c); ok { // it was read between the two
			return Start{From: fanout.After, Sequence: sequence}
		}
	}
	return Start{From: fanout.Foreign}
}

// ParseCount reads a decimal number; one beyond an int is the largest int.
func ParseCount(b []byte) (int, error) {
	if len(b) == 0 || len(bytes.Trim(b, "0123456789")) > 0 {
		return 0, strconv.ErrSyntax
	}
	n := 0
	for _, c := range b {
		if n > (math.MaxInt-9)/10 {
			return math.MaxInt, nil
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}
