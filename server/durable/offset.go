package durable

import (
	"strconv"

	"peal/server/log"
)

// Offsets that clients may send beside those of a server (section 6 of the protocol).
const (
	Beginning = "-1"  // the oldest message; also where there is no offset
	Tail      = "now" // after the newest
)

// sequenceDigits is the width of a sequence: offsets are compared as strings, so it is
// the same for all.
const sequenceDigits = 16

// MaxOffsetBytes is the length of the longest offset: the sequence, an underscore, an
// epoch in base 36.
const MaxOffsetBytes = sequenceDigits + 1 + 13

// AppendOffset appends the text of a cursor as an offset: the sequence in 16 hexadecimal
// digits, an underscore, the epoch in base 36, as in "0000000000000412_1z141z4". Offsets of
// one log sort like its sequences, whatever their epochs are: a log that begins another
// epoch counts on. It allocates only when dst is too small.
func AppendOffset(dst []byte, c log.Cursor) []byte {
	for shift := 4 * (sequenceDigits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[c.Sequence>>shift&15])
	}
	return append(append(dst, '_'), c.Epoch.String()...)
}

// ParseOffset reads what AppendOffset writes, and nothing else.
func ParseOffset(b []byte) (c log.Cursor, ok bool) {
	if len(b) <= sequenceDigits+1 || len(b) > MaxOffsetBytes || b[sequenceDigits] != '_' {
		return log.Cursor{}, false
	}
	sequence, err := strconv.ParseUint(string(b[:sequenceDigits]), 16, 64)
	if err != nil {
		return log.Cursor{}, false
	}
	epoch, err := strconv.ParseUint(string(b[sequenceDigits+1:]), 36, 64)
	c = log.Cursor{Epoch: log.Epoch(epoch), Sequence: sequence}
	if err != nil || epoch == 0 || string(AppendOffset(nil, c)) != string(b) {
		return log.Cursor{}, false
	}
	return c, true
}
