package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"peal/loop/frame"
)

// The first byte of frames with RSV1.
const (
	packedText    = 0x41
	finPackedText = 0xC1
	finPackedBin  = 0xC2
	packedBinary  = 0x42
)

// read gives stream to a Reader in pieces of that length, and returns what comes out.
func readPieces(r frame.Reader, stream []byte, piece, limit int) (events []string, err error) {
	var b []byte
	for len(stream) > 0 {
		n := min(piece, len(stream))
		b = append(b, stream[:n]...)
		stream = stream[n:]
		for {
			ev, rest, err := r.Next(b, limit)
			if err != nil {
				return events, err
			}
			if ev.Kind == frame.None {
				b = bytes.Clone(rest)
				break
			}
			events = append(events, fmt.Sprintf("%d %v %q", ev.Kind, ev.Compressed, ev.Payload))
			b = rest
		}
	}
	return events, nil
}

// RFC 7692 §6: RSV1 of the first frame of a message marks it as compressed.
func TestCompressedMessages(t *testing.T) {
	const invalid = "\xff\xfe" // as text it would be refused
	long := strings.Repeat("z", 3000)
	for name, c := range map[string]struct {
		stream []byte
		want   []string
		err    error
	}{
		"one frame":                {clientFrame(finPackedText, invalid), []string{`1 true "\xff\xfe"`}, nil},
		"binary":                   {clientFrame(finPackedBin, "x"), []string{`2 true "x"`}, nil},
		"empty":                    {clientFrame(finPackedText, ""), []string{`1 true ""`}, nil},
		"fragments":                {stream(clientFrame(packedText, invalid), clientFrame(cont, long), clientFrame(finCont, "c")), []string{fmt.Sprintf("1 true %q", invalid+long+"c")}, nil},
		"fragments, a ping inside": {stream(clientFrame(packedBinary, "a"), clientFrame(finPing, "p"), clientFrame(finCont, "b")), []string{`9 false "p"`, `2 true "ab"`}, nil},
		"empty fragments":          {stream(clientFrame(packedText, ""), clientFrame(cont, ""), clientFrame(finCont, "")), []string{`1 true ""`}, nil},
		"plain after compressed":   {stream(clientFrame(finPackedText, invalid), clientFrame(finText, "x"), clientFrame(packedText, "a"), clientFrame(finCont, "b"), clientFrame(text, "c"), clientFrame(finCont, "d"), clientFrame(finPackedText, "e")), []string{`1 true "\xff\xfe"`, `1 false "x"`, `1 true "ab"`, `1 false "cd"`, `1 true "e"`}, nil},
		"plain text is checked":    {stream(clientFrame(finPackedText, invalid), clientFrame(finText, invalid)), []string{`1 true "\xff\xfe"`}, frame.ErrUTF8},
		"checked again in parts":   {stream(clientFrame(packedText, invalid), clientFrame(finCont, ""), clientFrame(text, "\xff"), clientFrame(finCont, "")), []string{`1 true "\xff\xfe"`}, frame.ErrUTF8},

		"on a continuation":   {stream(clientFrame(packedText, "a"), clientFrame(0xC0, "b")), nil, frame.ErrRSV},
		"only on the second":  {stream(clientFrame(text, "a"), clientFrame(0x40, "b")), nil, frame.ErrRSV},
		"on a ping":           {clientFrame(0xC9, ""), nil, frame.ErrRSV},
		"on a pong":           {clientFrame(0xCA, ""), nil, frame.ErrRSV},
		"on a close":          {clientFrame(0xC8, ""), nil, frame.ErrRSV},
		"RSV2":                {clientFrame(0xA1, ""), nil, frame.ErrRSV},
		"RSV3":                {clientFrame(0x91, ""), nil, frame.ErrRSV},
		"RSV1 and RSV2":       {clientFrame(0xE1, ""), nil, frame.ErrRSV},
		"on a reserved frame": {clientFrame(0xC3, ""), nil, frame.ErrRSV},
		"a message inside":    {stream(clientFrame(packedText, "a"), clientFrame(finPackedText, "b")), nil, frame.ErrInterleaved},
		"beyond the limit":    {clientFrame(finPackedText, strings.Repeat("x", 4200)), nil, frame.ErrTooBig},
		"fragments beyond it": {stream(clientFrame(packedText, long), clientFrame(finCont, long)), nil, frame.ErrTooBig},
	} {
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			got, err := readPieces(frame.NewDeflateReader(), c.stream, piece, 4096)
			if !errors.Is(err, c.err) || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s in pieces of %d: %.200q, %v; want %.200q, %v", name, piece, got, err, c.want, c.err)
			}
		}
		if _, err := readPieces(frame.Reader{}, c.stream, 1<<20, 4096); c.stream[0]&0x70 != 0 && !errors.Is(err, frame.ErrRSV) {
			t.Errorf("%s, nothing negotiated: %v", name, err)
		}
	}
}

// What does not shrink becomes a little longer, and a message of the limit must pass.
func TestACompressedMessageMayBeLittleLongerThanTheLimit(t *testing.T) {
	for _, limit := range []int{0, 1, 1000, 64 << 10} {
		longest := limit + 5*(limit/(16<<10)+2)
		if _, err := readPieces(frame.NewDeflateReader(), clientFrame(finPackedBin, strings.Repeat("x", longest)), 1<<20, limit); err != nil {
			t.Errorf("limit %d, %d bytes: %v", limit, longest, err)
		}
	}
}

func TestSplitMessage(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16} {
		for _, binary := range []bool{false, true} {
			payload := bytes.Repeat([]byte{'x'}, n)
			b := frame.AppendMessage(nil, binary, payload)
			op, got, ok := frame.SplitMessage(b)
			if !ok || !bytes.Equal(got, payload) || (op == frame.OpBinary) != binary {
				t.Errorf("%d bytes: %d, %v", n, len(got), ok)
			}
			if h := frame.AppendCompressedHeader(nil, op, n); h[0] != b[0]|0x40 || !bytes.Equal(h[1:], b[1:len(b)-n]) {
				t.Errorf("%d bytes: header % x", n, h)
			}
		}
	}
	for _, b := range []string{"", "\x81", "\x81\x02x", "\x81\x01xx", "\x89\x00", "\x01\x01x", "\xc1\x01x", "\x81\x7e\x00", "\x81\x7e\x00\x01x", "\x81\x81abcdx"} {
		if _, _, ok := frame.SplitMessage([]byte(b)); ok {
			t.Errorf("%q is no message", b)
		}
	}
}

// The same events come out whatever the pieces.
func FuzzDeflateReader(f *testing.F) {
	f.Add(stream(clientFrame(packedText, "a"), clientFrame(finPing, "p"), clientFrame(finCont, "b"), clientFrame(finPackedBin, "c")), byte(1))
	f.Add(stream(clientFrame(finPackedText, "\xff"), clientFrame(finText, "x")), byte(3))
	for _, s := range streams {
		f.Add(s, byte(2))
	}
	f.Fuzz(func(t *testing.T, s []byte, piece byte) {
		whole, err := readPieces(frame.NewDeflateReader(), bytes.Clone(s), len(s)+1, 1000)
		parts, again := readPieces(frame.NewDeflateReader(), bytes.Clone(s), int(piece)+1, 1000)
		if fmt.Sprint(whole) != fmt.Sprint(parts) || !errors.Is(again, err) {
			t.Fatalf("whole: %.200q, %v; in pieces of %d: %.200q, %v", whole, err, int(piece)+1, parts, again)
		}
	})
}
