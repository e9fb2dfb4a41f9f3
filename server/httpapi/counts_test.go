package httpapi_test

import (
	"maps"
	"testing"

	"peal/loop"
	"peal/server/tally"
)

// stats is what the Front and the workers have counted together.
func (h *harness) stats() tally.Stats {
	s := h.front.Stats()
	s.Add(h.workers.Tally().Stats())
	return s
}

func TestPublicationsAreCountedByWay(t *testing.T) {
	h := newHarness(t)
	check := func(http, batch, websocket uint64) {
		t.Helper()
		want := map[string]uint64{"http": http, "batch": batch, "websocket": websocket, "inbox": 0}
		if got := h.stats().Publications; !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
	}
	check(0, 0, 0)
	h.answer(post("/publish", "hi"))
	h.answer(post("/publish?channel=a&channel=b", "hi"))
	check(3, 0, 0)
	h.answer(post("/publish/batch", `{"messages":[{"data":"x"},{"data":"y","event":"gap"},{"channel":["a","b"],"data":"z"}]}`))
	check(3, 3, 0)
	h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi"))
	check(3, 3, 1)
	h.log.slow = true
	h.call(post("/publish", "hi")) // answered later, accepted now
	h.log.release()
	h.door.wait(t)
	check(4, 3, 1)
	h.log.slow, h.log.full = false, true
	h.answer(post("/publish", "hi"))
	h.answer(post("/publish/batch", `{"messages":[{"data":"x"}]}`))
	h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi"))
	check(4, 3, 1)
}

func TestRefusalsAreCountedByCode(t *testing.T) {
	h := newHarness(t)
	check := func(code string, refused uint64, f func()) {
		t.Helper()
		before := h.stats().Refusals
		f()
		after := h.stats().Refusals
		if got := after[code] - before[code]; got != refused {
			t.Errorf("%s: counted %d, want %d", code, got, refused)
		}
		for other, n := range after {
			if other != code && n != before[other] {
				t.Errorf("%s: %s was counted too", code, other)
			}
		}
	}
	ask := func(in string) func() { return func() { h.answer(in) } }
	check("not_found", 1, ask(get("/nowhere")))
	check("bad_request", 1, ask("GET / HTTP/1.1\nHost: localhost\n\n"))
	check("bad_event", 1, ask(post("/publish?event=gap", "x")))
	check("bad_batch", 1, ask(post("/publish/batch", "[]")))
	check("bad_event", 2, ask(post("/publish/batch", `{"messages":[{"data":"x","event":"gap"},{"data":"x"},{"data":"y","event":"open"}]}`)))
	h.log.lose = true
	check("not_stored", 1, ask(post("/publish", "x")))
	h.log.lose, h.log.full = false, true
	check("overloaded", 1, ask(post("/publish", "x")))
	check("overloaded", 1, func() {
		if code, _ := h.front.Message(&fakeClient{publishTo: "a"}, false, []byte("hi")); code != 1013 {
			t.Errorf("code %d", code)
		}
	})
	check("unknown_command", 1, func() { h.front.Message(&fakeClient{commands: true}, false, []byte(`{"id":1,"command":"x"}`)) })
	check("draining", 1, func() {
		h.front.Request(&loop.Call{In: []byte(get("/sse")), Draining: true})
	})

	// A WebSocket that is refused after its handshake is a close as well.
	closes := h.stats().Closes[4400]
	check("bad_format", 1, func() { h.call(upgrade("/ws?format=xml", version13)) })
	if got := h.stats().Closes[4400] - closes; got != 1 {
		t.Errorf("%d closes with 4400, want 1", got)
	}
}
