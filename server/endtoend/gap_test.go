package endtoend_test

import (
	"strings"
	"testing"
)

// A browser keeps the id of a stream's first lines. If that were a position of
// this server's life, and the stream broke before the gap was told, the browser
// would come back with it and never know of the gap.
func TestForeignCursorIsToldBeforeAnyID(t *testing.T) {
	p := start(t)
	s := p.events("channel=a&channel=b&cursor=1z141z4-1042")
	for range 2 {
		e, fired, err := s.block()
		if err != nil || !fired || e.name != "gap" || e.id != "" {
			t.Fatalf("the stream begins with %+v (fires: %v, error: %v), want two gaps without an id", e, fired, err)
		}
	}
	if e, fired, err := s.block(); err != nil || fired || e.id == "" {
		t.Errorf("after the gaps %+v (fires: %v, error: %v), want an id that fires nothing", e, fired, err)
	}
}

// The gap of a foreign cursor ends where what is retained begins, on each
// channel for itself.
func TestForeignCursorGapEndsAtWhatIsRetained(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0", "--history-messages", "3")
	retained := p.publish("quiet", "first")
	gone := ""
	for i := range 8 {
		if cursor := p.publish("loud", "x"); i == 4 {
			gone = cursor
		}
	}
	want := map[string]string{"loud": gone, "quiet": retained[:strings.LastIndexByte(retained, '-')] + "-0"}
	check := func(on string, gaps ...gap) {
		t.Helper()
		for _, g := range gaps {
			if g.To != want[g.Channel] {
				t.Errorf("%s: the gap of %s ends at %s, want %s", on, g.Channel, g.To, want[g.Channel])
			}
		}
		if len(gaps) != 2 {
			t.Errorf("%s: %d gaps, want 2", on, len(gaps))
		}
	}
	const query = "channel=loud&channel=quiet&cursor=1z141z4-1042"
	check("poll", p.poll(query).Gap...)
	s := p.events(query)
	check("SSE", decode[gap](t, []byte(s.next().data)), decode[gap](t, []byte(s.next().data)))
	w := p.dialSocket("/ws?format=json&"+query, nil)
	var said []gap
	for range 2 {
		said = append(said, decode[struct{ Gap []gap }](t, []byte(w.next().data)).Gap...)
	}
	check("WebSocket", said...)
}
