package pusher

import (
	"math/rand/v2"
	"testing"

	"peal/server/session"
)

func TestSocketID(t *testing.T) {
	for text, want := range map[string]session.ID{
		"1.2":   {7: 1, 15: 2},
		"0.1":   {15: 1},
		"256.0": {6: 1},
		"18446744073709551615.18446744073709551615": {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
	} {
		if got, ok := ParseSocketID(text); !ok || got != want {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
		if got := SocketID(want); got != text {
			t.Errorf("%v: %q, want %q", want, got, text)
		}
	}
	for _, text := range []string{"", ".", "1", "1.", ".1", "01.2", "1.02", "00.1", "1.2.3", "1.2 ", " 1.2", "-1.2", "1,2", "0.0", "18446744073709551616.1", "1.18446744073709551616", "99999999999999999999.1"} {
		if id, ok := ParseSocketID([]byte(text)); ok {
			t.Errorf("%q is a socket id: %v", text, id)
		}
	}
	ids := session.Random()
	for range 1000 {
		id := ids.Of(rand.Uint64N(1<<40) + 1)
		text := AppendSocketID(nil, id)
		if got, ok := ParseSocketID(text); !ok || got != id || len(text) > MaxSocketIDBytes {
			t.Fatalf("%s is not the socket id of %v", text, id)
		}
	}
	text := []byte("1234567890123456789.12345678901234567890")
	if n := testing.AllocsPerRun(100, func() { ParseSocketID(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
