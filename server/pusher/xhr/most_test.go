package xhr

import (
	"bytes"
	"testing"

	"peal/server/log"
	"peal/server/publication"
	"peal/server/pusher"
)

// The bound of the length of a message, on which package permit relies, holds for lines.
func TestLinesAreBounded(t *testing.T) {
	for b := range byte(0x80) {
		data := bytes.Repeat([]byte{b}, 10_000)
		e := &log.Entry{Channel: "a", Data: data}
		line := AppendLines(nil, pusher.AppendEvent(nil, e, "a", log.Cursor{}, false))
		if most := publication.MostBytes(data, false); len(line) > most {
			t.Errorf("byte %#x: a line of %d bytes, want at most %d", b, len(line), most)
		}
	}
	e := &log.Entry{Channel: "a", Data: bytes.Repeat([]byte{0xFF}, 10_000), Binary: true}
	line := AppendLines(nil, pusher.AppendEvent(nil, e, "a", log.Cursor{}, false))
	if most := publication.MostBytes(e.Data, true); len(line) > most {
		t.Errorf("binary: a line of %d bytes, want at most %d", len(line), most)
	}
}
