package frame_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/loop/frame"
)

// all returns the events of a stream that comes in pieces. Between two of them, the Reader is what its
// State says, and the rest has moved in memory.
func all(t *testing.T, pieces [][]byte, deflate, moves bool) (events []frame.Event) {
	t.Helper()
	var r frame.Reader
	if deflate {
		r = frame.NewDeflateReader()
	}
	var rest []byte
	for i, piece := range pieces {
		rest = append(rest, piece...)
		for {
			ev, after, err := r.Next(rest, 1<<16)
			if err != nil {
				t.Fatalf("piece %d: %v", i, err)
			}
			ev.Payload, ev.Joined = bytes.Clone(ev.Payload), 0
			rest = slices.Clone(after)
			if moves {
				if r, err = r.State().Reader(rest); err != nil {
					t.Fatalf("piece %d: %v", i, err)
				}
			}
			if ev.Kind == frame.None {
				break
			}
			events = append(events, ev)
		}
	}
	return events
}

// A stream that is cut anywhere, and goes on from a State there, has the same events.
func TestReaderGoesOnFromItsState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 17))
	for round := range 300 {
		deflate := round%2 == 1
		var stream []byte
		for range 6 {
			switch rnd.IntN(4) {
			case 0:
				stream = append(stream, maskedFrame(0x81, "wörds, ¼ and 😀")...)
			case 1:
				stream = append(stream, maskedFrame(0x01, "ö")...)
				stream = append(stream, maskedFrame(0x89, "ping")...)
				stream = append(stream, maskedFrame(0x00, "\xf0\x9f")...)
				stream = append(stream, maskedFrame(0x80, "\x98\x80 end")...)
			case 2:
				stream = append(stream, maskedFrame(0x82, string(make([]byte, rnd.IntN(300))))...)
			case 3:
				if deflate { // what it contains is its inflater's
					stream = append(stream, maskedFrame(0x41, "\xff\xfe")...)
					stream = append(stream, maskedFrame(0x8a, "")...)
					stream = append(stream, maskedFrame(0x80, "\xff")...)
				}
			}
		}
		stream = append(stream, maskedFrame(0x88, "\x03\xe8")...)
		var pieces [][]byte
		for from := 0; from < len(stream); {
			to := min(len(stream), from+1+rnd.IntN(9))
			pieces = append(pieces, stream[from:to])
			from = to
		}
		want, got := all(t, pieces, deflate, false), all(t, pieces, deflate, true)
		same := func(a, b frame.Event) bool {
			return a.Kind == b.Kind && a.Code == b.Code && a.Compressed == b.Compressed && bytes.Equal(a.Payload, b.Payload)
		}
		if !slices.EqualFunc(want, got, same) || len(want) < 1 {
			t.Fatalf("round %d: %v, want %v", round, got, want)
		}
	}
}

// maskedFrame is a client's.
func maskedFrame(first byte, payload string) []byte {
	b := []byte{first, 0x80 | byte(min(len(payload), 126))}
	if len(payload) > 125 {
		b = append(b, byte(len(payload)>>8), byte(len(payload)))
	}
	key := [4]byte{1, 2, 3, 4}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// A State that contradicts the bytes is an error.
func TestBadStatesAreRefused(t *testing.T) {
	ping := maskedFrame(0x89, "abc")
	text := maskedFrame(0x81, "abc")
	for name, c := range map[string]struct {
		state frame.State
		rest  []byte
	}{
		"kept beyond the bytes":     {frame.State{Op: 1, Kept: 2}, []byte("a")},
		"kept outside a message":    {frame.State{Kept: 1}, []byte("a")},
		"hole beyond the bytes":     {frame.State{Op: 1, Kept: 1, Hole: 9}, []byte("abc")},
		"numbers that overflow":     {frame.State{Op: 1, Kept: 1<<32 - 1, Hole: 1<<32 - 1}, []byte("abc")},
		"opcode of a control frame": {frame.State{Op: 9}, nil},
		"seen of nothing":           {frame.State{Seen: 1}, nil},
		"seen of a control frame":   {frame.State{Seen: 1}, ping},
		"seen beyond the payload":   {frame.State{Seen: 4}, text},
		"seen beyond the bytes":     {frame.State{Seen: 3}, text[:7]},
		"packed without deflate":    {frame.State{Op: 1, Packed: true}, nil},
		"no text":                   {frame.State{Op: 1, Kept: 1}, []byte("\xff")},
	} {
		if _, err := c.state.Reader(c.rest); !errors.Is(err, frame.ErrState) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
