package httpapi_test

import (
	"testing"
	"time"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/presence"
	"peal/server/rules"
)

// Only who was let in is listed, and until the loop says that it left.
func TestWhoIsLetInIsListedUntilItLeft(t *testing.T) {
	h := newHarness(t)
	now := time.Unix(1000, 0)
	table := presence.New(presence.Config{Grace: time.Second}, func(string) bool { return false }, func() time.Time { return now })
	h.hub.infos = []hub.Info{{Name: "full", Subscribers: 1}}
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Presence: table,
		Rules: rules.New([]rules.Rule{{Match: "full", MaxSubscribers: 1}, {Match: "quiet", Presence: rules.No}}, rules.Rule{})})
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, c := range []struct {
		what, request string
		named, listed bool
	}{
		{"event stream", get("/sse?channel=a&client=ann"), true, true},
		{"poll", get("/poll?channel=a&channel=quiet&client=ann"), true, true},
		{"WebSocket", "GET /ws?channel=a&client=ann HTTP/1.1\r\nHost: localhost\r\n" + upgrade + "\r\n", true, true},
		{"nobody", get("/sse?channel=a&client=&info=x"), false, false},
		{"head of a stream", "HEAD /sse?channel=a&client=ann HTTP/1.1\r\nHost: localhost\r\n\r\n", false, false},
		{"too late", get("/sse?channel=a&channel=full&client=ann"), false, false},
		{"too late for a poll", get("/poll?channel=a&channel=full&client=ann"), false, false},
		{"quiet", get("/sse?channel=quiet&client=ann"), true, false},
		{"without a channel yet", "GET /ws?client=ann HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: peal.v1\r\n" + upgrade + "\r\n", true, false},
		{"query", get("/channels/a?client=ann"), false, false},
	} {
		call := &loop.Call{In: []byte(c.request), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: 42}
		h.front.Request(call)
		if named := call.Sub != nil && call.Sub.Named; named != c.named {
			t.Errorf("%s: named %v", c.what, named)
		}
		listed := table.Stats().Members
		if listed == 1 != c.listed || listed == 1 && table.List("a", "", 1).Members[0].Client != "ann" {
			t.Errorf("%s: %d members", c.what, listed)
		}
		if c.named {
			h.front.Left(42)
		}
		now = now.Add(2 * time.Second)
		table.Tick(func(*presence.Event) error { return nil })
		if n := table.Stats().Members; n != 0 {
			t.Fatalf("%s: %d members when all have left", c.what, n)
		}
	}
}

func TestTheSetOfChannelsHasTheirPresence(t *testing.T) {
	h := newHarness(t)
	table := presence.New(presence.Config{Bytes: 1500, Share: 100}, func(string) bool { return true }, time.Now)
	h.front = httpapi.New(httpapi.Deps{Log: h.log, Hub: h.hub, Door: h.door, Workers: h.workers, Presence: table})
	check := func(query string, want ...string) {
		t.Helper()
		c := h.call(get("/poll?presence=1&" + query))
		if c.Sub == nil || len(c.Sub.Channels) != len(want) {
			t.Fatalf("%s: %+v, want %q; out %s", query, c.Sub, want, c.Out)
		}
		for i := range want {
			if c.Sub.Channels[i] != want[i] {
				t.Errorf("%s: %q, want %q", query, c.Sub.Channels, want)
			}
		}
	}
	check("channel=b", "$presence:b", "b")
	check("channel=%23", "#", "$presence:#")
	check("channel=b&channel=%23", "#", "$presence:#", "$presence:b", "b")
	check("", "$presence:main", "main")
	check("channel=b&presence=0", "b")
	resp, body := h.answer(get("/poll?presence=1&channel=x&channel=y"))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("no room to watch: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	c := h.call(get("/sse?presence=1&channel=x&channel=y"))
	if c.Verdict != loop.ReplyClose || string(c.Out[:15]) != "HTTP/1.1 200 OK" {
		t.Errorf("no room to watch by an event stream: %s", c.Out)
	}
}
