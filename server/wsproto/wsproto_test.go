package wsproto_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/wsproto"
)

var cursor = log.Cursor{Epoch: 35, Sequence: 1042}

// parse reads one unmasked frame by RFC 6455 §5.2, without loop/frame: a codec
// that is checked by itself proves nothing.
func parse(t *testing.T, b []byte) (opcode byte, payload []byte) {
	t.Helper()
	if b[0]&0xF0 != 0x80 || b[1]&0x80 != 0 {
		t.Fatalf("% x: want FIN, no reserved bits, no mask", b[:2])
	}
	length, at := int(b[1]), 2
	switch length {
	case 126:
		length, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		length, at = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	if len(b) != at+length {
		t.Fatalf("%d bytes, want %d + %d", len(b), at, length)
	}
	return b[0] & 0xF, b[at:]
}

func TestAppendRawIsOneFrameOfExactlyTheData(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536} {
		text := bytes.Repeat([]byte("x"), size)
		if op, p := parse(t, wsproto.AppendRaw(nil, &log.Entry{Data: text})); op != 1 || !bytes.Equal(p, text) {
			t.Errorf("%d bytes of text: opcode %d, %d bytes", size, op, len(p))
		}
		if op, p := parse(t, wsproto.AppendRaw(nil, &log.Entry{Data: text, Binary: true})); op != 2 || !bytes.Equal(p, text) {
			t.Errorf("%d bytes of binary: opcode %d, %d bytes", size, op, len(p))
		}
	}
	if op, _ := parse(t, wsproto.AppendRaw(nil, &log.Entry{Data: []byte{0xFF}})); op != 2 {
		t.Errorf("text that is not UTF-8 has opcode %d: clients would fail", op)
	}
}

func TestAppendJSONIsOneTextFrameWithTheObject(t *testing.T) {
	for _, size := range []int{0, 40, 300, 70_000} {
		e := &log.Entry{Channel: "main", Time: 7, Data: bytes.Repeat([]byte("\n"), size)}
		b := wsproto.AppendJSON([]byte("before"), e, e.Channel, cursor)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("what was there is gone")
		}
		op, p := parse(t, b[len("before"):])
		if op != 1 || !bytes.Equal(p, publication.AppendJSON(nil, e, e.Channel, cursor)) {
			t.Errorf("%d bytes: opcode %d, payload %.80q", size, op, p)
		}
	}
}

func TestAppendHeartbeatCarriesTheCursor(t *testing.T) {
	if op, p := parse(t, wsproto.AppendHeartbeat(nil, cursor)); op != 9 || string(p) != "z-1042" {
		t.Errorf("opcode %d payload %q", op, p)
	}
}

func TestAppendGapIsAnObjectOfItsOwn(t *testing.T) {
	op, p := parse(t, wsproto.AppendGap(nil, ring.Gap{Channel: strings.Repeat("é", 100), To: 1042}, log.NewLineage(35)))
	var o struct{ Gap []map[string]string }
	if err := json.Unmarshal(p, &o); op != 1 || err != nil || o.Gap[0]["to"] != "z-1042" {
		t.Errorf("opcode %d payload %s: %v", op, p, err)
	}
}

func TestAppendCloseHasCodeAndReason(t *testing.T) {
	op, p := parse(t, wsproto.AppendClose(nil, frame.CloseGap, "gap"))
	if op != 8 || binary.BigEndian.Uint16(p) != 4409 || string(p[2:]) != "gap" {
		t.Errorf("opcode %d payload %q", op, p)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{32, 1024} {
		e := &log.Entry{Channel: "main", Time: 1732395600123, Data: bytes.Repeat([]byte("x"), size)}
		dst := make([]byte, 0, 4096)
		b.Run(fmt.Sprintf("format=raw/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = wsproto.AppendRaw(dst[:0], e)
			}
		})
		b.Run(fmt.Sprintf("format=json/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = wsproto.AppendJSON(dst[:0], e, e.Channel, cursor)
			}
		})
	}
}
