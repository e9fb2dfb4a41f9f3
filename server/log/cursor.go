package log

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"strconv"
)

// Epoch names one life of a log: every start of an engine begins a new one. What
// it takes over from earlier ones keeps their names; see Lineage. 0 is no epoch.
type Epoch uint64

// NewEpoch returns a random epoch, never 0. Two of them are equal by accident
// once in 2^64.
func NewEpoch() Epoch {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		if e := Epoch(binary.LittleEndian.Uint64(b[:])); e != 0 {
			return e
		}
	}
}

// String returns e as it stands in a cursor: base 36, lower case.
func (e Epoch) String() string { return strconv.FormatUint(uint64(e), epochBase) }

// Cursor is a client's position in a log: everything up to and including
// Sequence, in the life Epoch. The zero Cursor is no cursor.
//
// Cursors are comparable with ==; sequences of two cursors can be compared
// only where their epochs are equal.
type Cursor struct {
	Epoch    Epoch
	Sequence uint64 // 0 is the position before the first entry
}

// MaxCursorBytes is the length of the longest text of a cursor: 13 digits in
// base 36, a dash, 20 decimal digits.
const MaxCursorBytes = 13 + 1 + 20

const epochBase = 36

// IsZero reports whether c is no cursor.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Append extends dst with the text of c: the epoch in base 36, a dash, the
// sequence in decimal, as in "1z141z4-1042". The text needs no escaping in
// URLs, JSON, HTTP headers and the id field of SSE. It allocates only when dst
// is too small.
func (c Cursor) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(c.Epoch), epochBase)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, c.Sequence, 10)
}

// String returns the text of c; see Append.
func (c Cursor) String() string {
	var b [MaxCursorBytes]byte
	return string(c.Append(b[:0]))
}

// ParseCursor reads the text of a cursor. Only what Append writes is accepted,
// digit for digit, so a cursor has one text; everything else, also an
// otherwise good cursor of epoch 0, is ErrCursor.
//
// s is not kept. It does not allocate, and any goroutine may call it.
func ParseCursor[T string | []byte](s T) (Cursor, error) {
	if len(s) > MaxCursorBytes {
		return Cursor{}, ErrCursor
	}
	dash := 0
	for dash < len(s) && s[dash] != '-' {
		dash++
	}
	if dash == len(s) {
		return Cursor{}, ErrCursor
	}
	epoch, ok := parseUint(s, 0, dash, epochBase)
	if !ok || epoch == 0 {
		return Cursor{}, ErrCursor
	}
	sequence, ok := parseUint(s, dash+1, len(s), 10)
	if !ok {
		return Cursor{}, ErrCursor
	}
	return Cursor{Epoch: Epoch(epoch), Sequence: sequence}, nil
}

// parseUint reads s[from:to] as an unsigned number in its canonical form:
// lower-case digits, no sign, no leading zero unless it is zero. It takes
// bounds rather than a piece of s, for slicing a T would not keep its type.
func parseUint[T string | []byte](s T, from, to int, base uint64) (n uint64, ok bool) {
	if from == to || (s[from] == '0' && to-from > 1) {
		return 0, false
	}
	for i := from; i < to; i++ {
		var digit uint64
		switch b := s[i]; {
		case '0' <= b && b <= '9':
			digit = uint64(b - '0')
		case 'a' <= b && b <= 'z':
			digit = uint64(b-'a') + 10
		default:
			return 0, false
		}
		if digit >= base || n > (math.MaxUint64-digit)/base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}
