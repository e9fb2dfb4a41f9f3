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
	head, text := data, []byte(nil)
	for i, spaces := 0, 0; i < len(data); i++ {
		if data[i] != ' ' {
			continue
		}
		if spaces++; spaces == 4 {
			head, text = data[:i], data[i+1:]
			break
		}
	}
	n, err := fmt.Sscanf(string(head), "%d %d %d %x", &l.id, &l.channel, &l.number, &sum)
	return l, err == nil && n == 4 && crc32.ChecksumIEEE(text) == sum
}
