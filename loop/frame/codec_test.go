package frame_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"peal/loop/frame"
)

// A second, slow implementation, which judges the first: it sees the stream as
// a whole, copies everything and shares no code with the package.

const testMask = 0x3d21fa37 // 37 fa 21 3d on the wire, as in RFC 6455 §5.7

// clientFrame encodes a client's frame; first is FIN, RSV and opcode.
func clientFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 65536:
		b = append(b, 0xFE, byte(n>>8), byte(n))
	default:
		b = append(b, 0xFF, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// First bytes of frames.
const (
	cont, finCont     = 0x00, 0x80
	text, finText     = 0x01, 0x81
	binar, finBinary  = 0x02, 0x82
	finClose          = 0x88
	finPing, finPong  = 0x89, 0x8A
	noFinPing, noFinC = 0x09, 0x08
)

func stream(frames ...[]byte) (s []byte) {
	for _, f := range frames {
		s = append(s, f...)
	}
	return s
}

// event is an Event in memory of its own.
type event struct {
	kind    frame.Kind
	payload string
	code    uint16
}

func (e event) String() string {
	return fmt.Sprintf("{%d %.40q(%d) %d}", e.kind, e.payload, len(e.payload), e.code)
}

// judge decodes a whole stream and returns its events and the status it must
// be closed with, 0 if it is good so far.
func judge(s []byte, limit int) (events []event, closeCode uint16) {
	var message []byte
	op := byte(0)
	for {
		if len(s) >= 1 && (s[0]&0x70 != 0 || s[0]&7 > 2 || s[0]&0x88 == 0x08) {
			return events, 1002
		}
		if len(s) < 2 {
			return events, 0
		}
		fin, opcode, control := s[0]&0x80 != 0, s[0]&15, s[0]&8 != 0
		if s[1]&0x80 == 0 || control && s[1]&0x7F > 125 {
			return events, 1002
		}
		lengthBytes := map[byte]int{126: 2, 127: 8}[s[1]&0x7F]
		if len(s) < 2+lengthBytes+4 {
			return events, 0
		}
		length := uint64(s[1] & 0x7F)
		if lengthBytes > 0 {
			length = 0
			for _, c := range s[2 : 2+lengthBytes] {
				length = length<<8 | uint64(c)
			}
			if lengthBytes == 2 && length < 126 || lengthBytes == 8 && (length < 65536 || length>>63 != 0) {
				return events, 1002
			}
		}
		key := s[2+lengthBytes:][:4]
		if !control {
			if (opcode == 0) != (op != 0) {
				return events, 1002
			}
			if length > uint64(limit-len(message)) {
				return events, 1009
			}
		}
		var payload []byte
		for i, c := range s[2+lengthBytes+4:] {
			if uint64(i) == length {
				break
			}
			payload = append(payload, c^key[i%4])
		}
		whole := uint64(len(payload)) == length
		if !control {
			if opcode != 0 {
				op = opcode
			}
			message = append(message, payload...)
			if op == 1 && !startsUTF8(message) {
				return events, 1007
			}
		}
		if !whole {
			return events, 0
		}
		s = s[2+lengthBytes+4+int(length):]
		switch {
		case opcode == 8:
			switch {
			case len(payload) == 0:
				return append(events, event{frame.Close, "", 1005}), 0
			case len(payload) == 1:
				return events, 1002
			}
			code := binary.BigEndian.Uint16(payload)
			if code < 1000 || code > 4999 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000 {
				return events, 1002
			}
			if !utf8.Valid(payload[2:]) {
				return events, 1007
			}
			return append(events, event{frame.Close, string(payload[2:]), code}), 0
		case control:
			events = append(events, event{frame.Kind(opcode), string(payload), 0})
		case fin:
			if op == 1 && !utf8.Valid(message) {
				return events, 1007
			}
			events = append(events, event{frame.Kind(op), string(message), 0})
			message, op = nil, 0
		}
	}
}

// startsUTF8 reports whether some bytes could make b valid UTF-8.
func startsUTF8(b []byte) bool {
	if utf8.Valid(b) {
		return true
	}
	for cut := 1; cut <= 3 && cut <= len(b); cut++ {
		if !utf8.Valid(b[:len(b)-cut]) {
			continue
		}
		for _, low := range []byte{0x80, 0x90, 0xA0} {
			for more := range 4 {
				whole := append([]byte{}, b[len(b)-cut:]...)
				for i := range more {
					if i == 0 {
						whole = append(whole, low)
						continue
					}
					whole = append(whole, 0x80)
				}
				if utf8.Valid(whole) {
					return true
				}
			}
		}
	}
	return false
}

// deliver feeds s to a Reader in pieces of the sizes that size returns, as a
// loop would, moving the rest to new memory now and then, and checks the
// promises that Next and Need make on the way.
func deliver(t testing.TB, s []byte, limit int, size func() int) (events []event, closeCode uint16) {
	t.Helper()
	var r frame.Reader
	var pending []byte
	need := r.Need(nil) // bytes that must come before anything can be found
	ended := false
	for turn := 0; len(s) > 0; turn++ {
		n := max(1, min(size(), len(s)))
		if turn%3 == 0 { // the Reader must not depend on where b is
			moved := append(make([]byte, 0, len(pending)+n), pending...)
			for i := range pending {
				pending[i] = 0xEE
			}
			pending = moved
		}
		pending = append(pending, s[:n]...)
		s = s[n:]
		early := n < need
		for {
			before := len(pending)
			ev, rest, err := r.Next(pending, limit)
			if ended && (ev.Kind != frame.None || err != nil || len(rest) != 0) {
				t.Fatalf("after the end: %v, %d bytes of rest, %v", ev, len(rest), err)
			}
			if early && ev.Kind != frame.None {
				t.Fatalf("event %v after %d bytes, but %d were needed", ev, n, need)
			}
			if len(rest) > before {
				t.Fatalf("rest of %d bytes has %d", before, len(rest))
			}
			pending = rest
			if err != nil {
				if ev.Kind != frame.None || len(rest) != 0 {
					t.Fatalf("with error %v: event %v, %d bytes of rest", err, ev, len(rest))
				}
				if _, ok := errors.AsType[*frame.Error](err); !ok {
					t.Fatalf("%v is no *Error", err)
				}
				closeCode = frame.CloseCode(err)
				ended = true
				break
			}
			if ev.Kind == frame.None {
				break
			}
			if cap(ev.Payload) != len(ev.Payload) && ev.Kind != frame.Close {
				t.Fatalf("an append to the payload of %v would write into rest", ev)
			}
			events = append(events, event{ev.Kind, string(ev.Payload), ev.Code})
			for i := range ev.Payload { // it is the caller's to spoil
				ev.Payload[i] = 0xDD
			}
			ended = ended || ev.Kind == frame.Close
		}
		if len(pending) >= limit+frame.MaxControl+frame.MaxHeader {
			t.Fatalf("rest grew to %d bytes with a limit of %d", len(pending), limit)
		}
		left := r.Need(pending)
		if ended != (left == 0) || left > max(limit, frame.MaxControl) && left > frame.MaxHeader {
			t.Fatalf("ended %v, yet Need is %d with a limit of %d", ended, left, limit)
		}
		need = left
	}
	return events, closeCode
}

// check compares the Reader with the judge: whole, byte by byte, and in pieces
// of random size.
func check(t testing.TB, s []byte, limit int, seed uint64) {
	t.Helper()
	want, wantCode := judge(s, limit)
	random := rand.New(rand.NewPCG(seed, 6455))
	for _, way := range []struct {
		name string
		size func() int
	}{
		{"whole", func() int { return len(s) }},
		{"byte by byte", func() int { return 1 }},
		{"in short pieces", func() int { return 1 + random.IntN(9) }},
		{"in long pieces", func() int { return 1 + random.IntN(1+len(s)/2) }},
	} {
		got, code := deliver(t, s, limit, way.size)
		if fmt.Sprint(got) != fmt.Sprint(want) || !equal(got, want) || code != wantCode {
			t.Errorf("%s (seed %d): %v, close %d\nwant %v, close %d\nof % x",
				way.name, seed, got, code, want, wantCode, s[:min(len(s), 200)])
		}
	}
}

func equal(a, b []event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
