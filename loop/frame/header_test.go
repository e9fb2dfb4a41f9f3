package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"peal/loop/frame"
)

var lengths = []int{0, 1, 125, 126, 127, 1000, 65535, 65536, 70_000, 1 << 31, 1<<63 - 1}

var opcodes = []frame.Opcode{frame.OpContinuation, frame.OpText, frame.OpBinary, frame.OpClose, frame.OpPing, frame.OpPong}

func TestParseHeaderReadsWhatAppendMaskedHeaderWrote(t *testing.T) {
	for _, length := range lengths {
		for _, op := range opcodes {
			for _, fin := range []bool{true, false} {
				if op.IsControl() && (!fin || length > frame.MaxControl) {
					continue
				}
				want := frame.Header{Length: int64(length), Mask: testMask, Op: op, Fin: fin}
				b := frame.AppendMaskedHeader(nil, fin, op, length, testMask)
				for _, tail := range []string{"", "payload"} {
					h, n, err := frame.ParseHeader(append(b[:len(b):len(b)], tail...))
					if h != want || n != len(b) || err != nil {
						t.Errorf("%+v, n=%d, %v; want %+v, n=%d", h, n, err, want, len(b))
					}
				}
			}
		}
	}
}

func TestParseHeaderAsksForMoreOnEveryPrefix(t *testing.T) {
	for _, length := range lengths {
		whole := frame.AppendMaskedHeader(nil, true, frame.OpText, length, testMask)
		for cut := range whole {
			if h, n, err := frame.ParseHeader(whole[:cut]); h != (frame.Header{}) || n != 0 || err != nil {
				t.Errorf("first %d of %d bytes: %+v n=%d err=%v, want none, 0 and nil", cut, len(whole), h, n, err)
			}
		}
	}
}

func TestParseHeaderOnEveryFirstByte(t *testing.T) {
	for first := range 256 {
		var want error
		op := first & 15
		switch {
		case first&0x70 != 0:
			want = frame.ErrRSV
		case op > 2 && op < 8 || op > 10:
			want = frame.ErrOpcode
		case op >= 8 && first < 128:
			want = frame.ErrControlFragmented
		}
		if _, _, err := frame.ParseHeader([]byte{byte(first)}); !errors.Is(err, want) {
			t.Errorf("%#x alone: %v, want %v", first, err, want)
		}
		if _, _, err := frame.ParseHeader([]byte{byte(first), 0x80, 1, 2, 3, 4}); !errors.Is(err, want) {
			t.Errorf("%#x: %v, want %v", first, err, want)
		}
	}
}

func TestParseHeaderFindsErrorsEarly(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want error
	}{
		{[]byte{0x81, 0x05}, frame.ErrUnmasked},
		{[]byte{0x89, 0xFE}, frame.ErrControlLength},
		{[]byte{0x88, 0xFF}, frame.ErrControlLength},
		{[]byte{0x8A, 0x7E}, frame.ErrUnmasked},
	} {
		if _, n, err := frame.ParseHeader(c.b); n != 0 || !errors.Is(err, c.want) {
			t.Errorf("% x: n=%d, %v; want %v", c.b, n, err, c.want)
		}
	}
}

// The unmasked examples of RFC 6455 §5.7, and the borders of the lengths.
func TestAppend(t *testing.T) {
	check := func(name string, got []byte, want string) {
		t.Helper()
		if !bytes.HasPrefix(got, []byte("dst")) || string(got[3:]) != want {
			t.Errorf("%s: % x, want dst and % x", name, got[:min(len(got), 40)], want[:min(len(want), 40)])
		}
	}
	dst := []byte("dst")
	check("text", frame.AppendMessage(dst, false, []byte("Hello")), "\x81\x05Hello")
	check("binary of 256", frame.AppendMessage(dst, true, make([]byte, 256)), "\x82\x7e\x01\x00"+strings.Repeat("\x00", 256))
	check("binary of 65536", frame.AppendMessage(dst, true, make([]byte, 65536)), "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"+strings.Repeat("\x00", 65536))
	check("ping", frame.AppendPing(dst, []byte("Hello")), "\x89\x05Hello")
	check("pong", frame.AppendPong(dst, []byte("Hello")), "\x8a\x05Hello")
	check("first fragment", frame.AppendHeader(dst, false, frame.OpText, 3), "\x01\x03")
	check("last fragment", frame.AppendHeader(dst, true, frame.OpContinuation, 2), "\x80\x02")
	check("125", frame.AppendHeader(dst, true, frame.OpText, 125), "\x81\x7d")
	check("126", frame.AppendHeader(dst, true, frame.OpText, 126), "\x81\x7e\x00\x7e")
	check("65535", frame.AppendHeader(dst, true, frame.OpText, 65535), "\x81\x7e\xff\xff")
	check("65536", frame.AppendHeader(dst, true, frame.OpText, 65536), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")
	check("masked", frame.AppendMaskedHeader(dst, true, frame.OpText, 5, testMask), "\x81\x85\x37\xfa\x21\x3d")
}

func TestAppendPingPanicsBeyond125Bytes(t *testing.T) {
	frame.AppendPing(nil, make([]byte, 125))
	defer func() {
		if recover() == nil {
			t.Error("126 bytes: no panic")
		}
	}()
	frame.AppendPing(nil, make([]byte, 126))
}

func TestAppendAndParseDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	payload := make([]byte, 100)
	closing := []byte("\x03\xe8bye")
	allocs := testing.AllocsPerRun(100, func() {
		frame.AppendMessage(dst, false, payload)
		frame.AppendPing(dst, payload)
		frame.AppendPong(dst, payload)
		frame.AppendClose(dst, frame.CloseNormal, "going")
		head := frame.AppendMaskedHeader(dst, true, frame.OpText, 70_000, testMask)
		_, _, _ = frame.ParseHeader(head)
		_, _, _ = frame.ParseClose(closing)
		_, _, _ = frame.ParseClose(closing[:1])
		frame.Unmask(payload, testMask, 3)
		var u frame.UTF8
		u.Feed(closing)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestEveryErrorHasItsCloseCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want uint16
	}{
		{nil, 1000},
		{frame.ErrRSV, 1002}, {frame.ErrOpcode, 1002}, {frame.ErrControlFragmented, 1002}, {frame.ErrControlLength, 1002},
		{frame.ErrUnmasked, 1002}, {frame.ErrLength, 1002}, {frame.ErrContinuation, 1002}, {frame.ErrInterleaved, 1002},
		{frame.ErrClosePayload, 1002}, {frame.ErrCloseCode, 1002},
		{frame.ErrUTF8, 1007}, {frame.ErrTooBig, 1009},
		{fmt.Errorf("connection 7: %w", frame.ErrUTF8), 1007},
		{errors.New("of others"), 1011},
	} {
		if got := frame.CloseCode(c.err); got != c.want {
			t.Errorf("CloseCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d}, byte(1), true, uint64(5))
	f.Add([]byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, byte(2), false, uint64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, op byte, fin bool, length uint64) {
		h, n, err := frame.ParseHeader(b)
		switch {
		case err != nil:
			if n != 0 || h != (frame.Header{}) || frame.CloseCode(err) != frame.CloseProtocolError {
				t.Errorf("% x: %+v, n=%d with %v", b, h, n, err)
			}
		case n > 0: // a header has one form
			if again := frame.AppendMaskedHeader(nil, h.Fin, h.Op, int(h.Length), h.Mask); !bytes.Equal(again, b[:n]) {
				t.Errorf("% x parsed as %+v is written % x", b[:n], h, again)
			}
		case len(b) >= frame.MaxHeader:
			t.Errorf("% x: more asked for", b)
		}

		opcode := opcodes[int(op)%len(opcodes)]
		if length >>= 1; opcode.IsControl() {
			fin, length = true, length%126
		}
		want := frame.Header{Length: int64(length), Mask: uint32(length * 7), Op: opcode, Fin: fin}
		whole := frame.AppendMaskedHeader(nil, fin, opcode, int(length), want.Mask)
		if h, n, err := frame.ParseHeader(append(whole, b...)); h != want || n != len(whole) || err != nil {
			t.Errorf("%+v, n=%d, %v; want %+v", h, n, err, want)
		}
	})
}
