package loadtest

// Stamp is what the first StampBytes bytes of every message say.
//
//	L 0a1f 00002a 000000007b 0000123456789abc 89abcdef ␠
//	│ run  stream sequence   scheduled, ns    check    padding follows
//
// Fixed-width lower-case hexadecimal text: it needs no escape in JSON, SSE or
// a text frame, and parsing it costs the same for each message. (The spaces
// above are not in the message.) The check is a hash of the four numbers, and the
// padding is the alphabet, again and again: so a receiver knows each byte of a message
// whose size it knows.
type Stamp struct {
	Run       uint16
	Stream    uint32 // 24 bits: the channel's number in this run
	Sequence  uint64 // 40 bits; the first is 1
	Scheduled int64  // Now() at which the schedule meant to send
}

// StampBytes is the size of a Stamp in a message, and the smallest message.
const StampBytes = checkAt + 8

const checkAt = 1 + 4 + 6 + 10 + 16

const (
	hexDigits = "0123456789abcdef"
	alphabet  = "abcdefghijklmnopqrstuvwxyz"
)

// check is multiplications and not a CRC, whose library would be too deep for the 2 KiB
// of stack below a gws connection.
func (s *Stamp) check() uint32 {
	const golden = 0x9e3779b97f4a7c15
	h := (uint64(s.Run)<<24 | uint64(s.Stream)) * golden
	h = (h ^ h>>32 ^ s.Sequence) * golden
	h = (h ^ h>>32 ^ uint64(s.Scheduled)) * golden
	return uint32(h >> 32)
}

// AppendMessage appends a message of size bytes, s first and then filled up
// with letters. A size below StampBytes gives StampBytes.
func AppendMessage(dst []byte, s Stamp, size int) []byte {
	dst = append(dst, 'L')
	dst = appendHex(dst, uint64(s.Run), 4)
	dst = appendHex(dst, uint64(s.Stream), 6)
	dst = appendHex(dst, s.Sequence, 10)
	dst = appendHex(dst, uint64(s.Scheduled), 16)
	dst = appendHex(dst, uint64(s.check()), 8)
	for left := size - StampBytes; left > 0; left -= len(alphabet) {
		dst = append(dst, alphabet[:min(left, len(alphabet))]...)
	}
	return dst
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// ParseStamp reads the stamp at the start of b. ok is false when b does not
// begin with one, or with one that was changed. It does not allocate.
func ParseStamp(b []byte) (s Stamp, ok bool) {
	if len(b) < StampBytes || b[0] != 'L' {
		return Stamp{}, false
	}
	run, bad1 := parseHex(b[1:5])
	stream, bad2 := parseHex(b[5:11])
	sequence, bad3 := parseHex(b[11:21])
	scheduled, bad4 := parseHex(b[21:checkAt])
	check, bad5 := parseHex(b[checkAt:StampBytes])
	s = Stamp{uint16(run), uint32(stream), sequence, int64(scheduled)}
	return s, bad1|bad2|bad3|bad4|bad5 < 16 && uint32(check) == s.check()
}

// padded reports whether a message has its padding behind the stamp. It compares the
// padding with itself, shifted by an alphabet.
func padded(message []byte) bool {
	padding := message[StampBytes:]
	first := padding[:min(len(padding), len(alphabet))]
	return string(first) == alphabet[:len(first)] && string(padding[len(first):]) == string(padding[:len(padding)-len(first)])
}

// hexValues are the values of the digits; others have more than four bits.
var hexValues = func() (v [256]uint8) {
	for c := range v {
		v[c] = 0xff
	}
	for value, c := range []byte(hexDigits) {
		v[c] = uint8(value)
	}
	return v
}()

// parseHex reads b; more than four bits in bad: it is no number.
func parseHex(b []byte) (v uint64, bad uint8) {
	for _, c := range b {
		digit := hexValues[c]
		bad |= digit
		v = v<<4 | uint64(digit)
	}
	return v, bad
}
