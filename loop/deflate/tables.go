package deflate

import (
	"errors"
	"math/bits"
)

// ErrTables: the message has more tables of codes than any compressor writes.
var ErrTables = errors.New("deflate: the message has too many blocks with codes of their own")

// A block may begin with the codes that it uses (RFC 1951 §3.2.7). To read them takes
// some 3 µs, and a block that has nothing else is 11 bytes. One message of 64 KB could
// keep a loop for 16 ms and more. Compressors begin a block for some thousand
// symbols, or when they are flushed. So in a message that is long enough for harm, the
// blocks are counted before it is inflated.
const (
	leastTable  = 11  // bytes of a block with codes of its own
	someTables  = 320 // blocks with codes may always be,
	tableOfEach = 256 // and one more for so many compressed bytes

	uncounted = someTables * leastTable // bytes of a message whose blocks are not counted
)

// checkTables reads a message as streams does, up to the end of the input or beyond limit
// bytes of the message, and returns ErrTables, or ErrCorrupt where it is no DEFLATE. It knows the
// lengths of symbols only, so it cannot say that a message is valid.
func checkTables(in []byte, limit int) error {
	_, _, err := countTables(in, limit, someTables+len(in)/tableOfEach)
	return err
}

// countTables counts blocks that have codes of their own, up to most, and the bytes of the
// message, of which there are more than limit only if the rest was left out.
func countTables(in []byte, limit, most int) (n, length int, err error) {
	s := scanner{in: in, room: limit}
	for !s.done() && s.room >= 0 {
		final, kind := s.take(1), s.take(2)
		ok := true
		switch kind {
		case 0:
			ok = s.stored()
		case 1:
			ok = s.symbols(&fixedCodes, &fixedDistances)
		case 2:
			if n++; n > most {
				return n, limit - s.room, ErrTables
			}
			ok = s.codes() && s.symbols(&s.literals, &s.distances)
		default:
			ok = false
		}
		if !ok || s.short {
			return n, limit - s.room, ErrCorrupt
		}
		if final == 1 {
			s.align()
		}
	}
	return n, limit - s.room, nil
}

// scanner reads bits.
type scanner struct {
	in    []byte
	bits  uint64
	n     uint // of bits
	room  int  // bytes of the message up to its limit; below 0 it is too long
	short bool // there were not as many bits as were asked for

	literals, distances codes
}

func (s *scanner) done() bool { return s.n == 0 && len(s.in) == 0 }

// fill has at least 32 bits read, if there are as many.
func (s *scanner) fill() {
	for s.n <= 32 && len(s.in) > 0 {
		s.bits |= uint64(s.in[0]) << s.n
		s.in = s.in[1:]
		s.n += 8
	}
}

// take returns the next k bits, 16 at most; 0 for those behind the end.
func (s *scanner) take(k uint) int {
	s.fill()
	v := int(s.bits & (1<<k - 1))
	s.skip(k)
	return v
}

func (s *scanner) skip(k uint) {
	if k > s.n {
		s.short, s.bits, s.n = true, 0, 0
		return
	}
	s.bits >>= k
	s.n -= k
}

// align drops the rest of a byte.
func (s *scanner) align() { s.skip(s.n % 8) }

func (s *scanner) stored() bool {
	s.align()
	length, complement := s.take(16), s.take(16)
	if length^complement != 0xFFFF || s.short {
		return false
	}
	s.room -= length
	for ; length > 0 && s.n > 0; length-- {
		s.skip(8)
	}
	if length > len(s.in) {
		return false
	}
	s.in = s.in[length:]
	return true
}

// codes are those of an alphabet: how many symbols have a code of each length, the
// symbols in the order of their codes, and for the next bits the symbol whose code they
// begin with and the length of that, 0 for a longer one.
type codes struct {
	count   [16]uint16
	symbols [288]uint16
	short   [1 << shortBits]uint16 // symbol<<4 | length
}

const shortBits = 8

// set makes the codes from the length of each symbol's. It reports false if there are
// more than their lengths allow.
func (c *codes) set(lengths []uint8) bool {
	c.count = [16]uint16{}
	for _, l := range lengths {
		c.count[l]++
	}
	c.count[0] = 0
	c.short = [1 << shortBits]uint16{}
	var next, code [16]uint16
	left := 1
	for l := 1; l < 16; l++ {
		if left = left<<1 - int(c.count[l]); left < 0 {
			return false
		}
		if l < 15 {
			next[l+1] = next[l] + c.count[l]
			code[l+1] = (code[l] + c.count[l]) << 1
		}
	}
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		c.symbols[next[l]] = uint16(symbol)
		next[l]++
		if l <= shortBits {
			for i := int(bits.Reverse16(code[l]) >> (16 - l)); i < len(c.short); i += 1 << l {
				c.short[i] = uint16(symbol)<<4 | uint16(l)
			}
		}
		code[l]++
	}
	return true
}

// symbol returns the next one, or -1.
func (s *scanner) symbol(c *codes) int {
	s.fill()
	if v := c.short[s.bits&(1<<shortBits-1)]; v != 0 {
		s.skip(uint(v & 15))
		return int(v >> 4)
	}
	bits := s.bits
	code, first, index := 0, 0, 0
	for l := uint(1); l < 16; l++ {
		code |= int(bits & 1)
		bits >>= 1
		count := int(c.count[l])
		if code-count < first {
			s.skip(l)
			return int(c.symbols[index+code-first])
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return -1
}

// order is that of the lengths of codes for lengths (RFC 1951 §3.2.7).
var order = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codes reads the codes of a block.
func (s *scanner) codes() bool {
	literals, distances, some := s.take(5)+257, s.take(5)+1, s.take(4)+4
	if literals > 286 || distances > 30 {
		return false
	}
	var lengths [286 + 30]uint8
	for _, symbol := range order[:some] {
		lengths[symbol] = uint8(s.take(3))
	}
	if !s.literals.set(lengths[:19]) {
		return false
	}
	lengths = [286 + 30]uint8{}
	for i := 0; i < literals+distances; {
		symbol := s.symbol(&s.literals)
		repeat, length := 1, uint8(0)
		switch symbol {
		case -1:
			return false
		case 16:
			if i == 0 {
				return false
			}
			repeat, length = 3+s.take(2), lengths[i-1]
		case 17:
			repeat = 3 + s.take(3)
		case 18:
			repeat = 11 + s.take(7)
		default:
			length = uint8(symbol)
		}
		if i+repeat > literals+distances || s.short {
			return false
		}
		for ; repeat > 0; repeat-- {
			lengths[i] = length
			i++
		}
	}
	return s.literals.set(lengths[:literals]) && s.distances.set(lengths[literals:literals+distances])
}

// symbols passes over those of a block, or of what there is room for.
func (s *scanner) symbols(literals, distances *codes) bool {
	for !s.short && s.room >= 0 {
		symbol := s.symbol(literals)
		switch {
		case symbol < 0 || symbol > 285:
			return false
		case symbol < 256:
			s.room--
			continue
		case symbol == 256:
			return true
		case symbol < 265:
			s.room -= symbol - 254
		case symbol < 285:
			more := uint(symbol-261) / 4 // bits
			s.room -= 3 + (4+(symbol-265)%4)<<more + s.take(more)
		default:
			s.room -= 258
		}
		distance := s.symbol(distances)
		if distance < 0 || distance > 29 {
			return false
		}
		if distance > 3 {
			s.take(uint(distance)/2 - 1)
		}
	}
	return !s.short
}

// The codes of blocks that have none of their own (RFC 1951 §3.2.6).
var fixedCodes, fixedDistances = func() (l, d codes) {
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144, i > 279:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	l.set(lengths[:])
	for i := range 30 {
		lengths[i] = 5
	}
	d.set(lengths[:30])
	return l, d
}()
