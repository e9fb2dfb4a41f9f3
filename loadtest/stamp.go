package loadtest

// Stamp is what the first StampBytes bytes of every message say.
//
//	L 0a1f 00002a 000000007b 0000123456789abc ␠
//	│ run  stream sequence   scheduled, ns    padding follows
//
// Fixed-width lower-case hexadecimal text: it needs no escape in JSON, SSE or
// a text frame, and parsing it costs the same for each message. (The spaces
// above are not in the message.)
type Stamp struct {
	Run       uint16
	Stream    uint32 // 24 bits: the channel's number in this run
	Sequence  uint64 // 40 bits; the first is 1
	Scheduled int64  // Now() at which the schedule meant to send
}

// StampBytes is the size of a Stamp in a message, and the smallest message.
const StampBytes = 1 + 4 + 6 + 10 + 16

const hexDigits = "0123456789abcdef"

// AppendMessage appends a message of size bytes, s first and then filled up
// with letters. A size below StampBytes gives StampBytes.
func AppendMessage(dst []byte, s Stamp, size int) []byte {
	dst = append(dst, 'L')
	dst = appendHex(dst, uint64(s.Run), 4)
	dst = appendHex(dst, uint64(s.Stream), 6)
	dst = appendHex(dst, s.Sequence, 10)
	dst = appendHex(dst, uint64(s.Scheduled), 16)
	for i := StampBytes; i < size; i++ {
		dst = append(dst, 'a'+byte(i%26))
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
// begin with one. It does not allocate.
func ParseStamp(b []byte) (s Stamp, ok bool) {
	if len(b) < StampBytes || b[0] != 'L' {
		return Stamp{}, false
	}
	run, ok1 := parseHex(b[1:5])
	stream, ok2 := parseHex(b[5:11])
	sequence, ok3 := parseHex(b[11:21])
	scheduled, ok4 := parseHex(b[21:37])
	return Stamp{uint16(run), uint32(stream), sequence, int64(scheduled)}, ok1 && ok2 && ok3 && ok4
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
