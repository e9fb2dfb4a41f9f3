package chaos

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// label is what the data of each message says of it.
type label struct {
	id      uint64 // of the publication, unique in the run
	channel int32
	number  uint32 // of the publication in its channel: 1, 2, 3 …
}

// padding is what data is filled up with: text that JSON has to escape and SSE
// to divide into lines. Without CR, which SSE cannot carry.
const padding = `plain text, "quoted" and back\slashed; ünïcödé ✓ 🔔; a line ends here` + "\n" + `and a tab	follows. `

// appendData appends the data of a message: its label, the checksum of the
// rest, and size bytes of padding, more or less.
func appendData(dst []byte, l label, size int, rnd *rand.Rand) []byte {
	text := bytes.Repeat([]byte(padding), size/len(padding)+2)
	text = bytes.ToValidUTF8(text[rnd.IntN(len(padding)):][:size], nil)
	return fmt.Appendf(dst, "%d %d %d %08x %s", l.id, l.channel, l.number, crc32.ChecksumIEEE(text), text)
}

// parseData reads what appendData wrote. ok is false when a byte is different.
func parseData(data []byte) (l label, ok bool) {
	var sum uint32
	parts := bytes.SplitN(data, []byte(" "), 5)
	if len(parts) < 5 {
		return l, false
	}
	text := parts[4]
	_, err := fmt.Sscanf(string(data[:len(data)-len(text)]), "%d %d %d %x ", &l.id, &l.channel, &l.number, &sum)
	return l, err == nil && crc32.ChecksumIEEE(text) == sum
}
