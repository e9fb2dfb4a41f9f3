package pusher

import (
	"encoding/binary"
	"strconv"

	"peal/server/session"
)

// MaxSocketIDBytes is the length of the longest socket id: two numbers of 20 digits and a
// dot.
const MaxSocketIDBytes = 20 + 1 + 20

// AppendSocketID appends the socket id of a session: its 16 bytes as two decimal numbers of
// 64 bits, the first 8 bytes first, with a dot between. A publication that excludes the
// session excludes the socket id.
func AppendSocketID(dst []byte, id session.ID) []byte {
	dst = strconv.AppendUint(dst, binary.BigEndian.Uint64(id[:8]), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, binary.BigEndian.Uint64(id[8:]), 10)
}

// SocketID is AppendSocketID as a text.
func SocketID(id session.ID) string { return string(AppendSocketID(nil, id)) }

// ParseSocketID reads a socket id; ok is false if the text is none. Only what
// AppendSocketID writes is one, so a session has one text. It does not allocate.
func ParseSocketID[T string | []byte](text T) (id session.ID, ok bool) {
	high, at, ok := parseNumber(text, 0)
	if !ok || at >= len(text) || text[at] != '.' {
		return session.ID{}, false
	}
	low, at, ok := parseNumber(text, at+1)
	if !ok || at != len(text) {
		return session.ID{}, false
	}
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id, !id.IsZero()
}

// parseNumber reads the decimal number at text[from:], without a zero before it, and
// returns where it ends.
func parseNumber[T string | []byte](text T, from int) (n uint64, end int, ok bool) {
	const most = 1<<64 - 1
	end = from
	for ; end < len(text) && '0' <= text[end] && text[end] <= '9'; end++ {
		digit := uint64(text[end] - '0')
		if n > (most-digit)/10 {
			return 0, end, false
		}
		n = 10*n + digit
	}
	return n, end, end > from && (text[from] != '0' || end == from+1)
}
