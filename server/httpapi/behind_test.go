package httpapi_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/httpapi"
	"peal/server/log"
)

// A cursor that another node has handed out, and this one has not read yet, is refused on
// every transport, in a way in which the client comes back; it is no gap.
func TestACursorOfANodeThatIsAhead(t *testing.T) {
	h, l := newShared(t)
	l.ahead = []log.Cursor{{Epoch: epoch, Sequence: 90}}
	for _, cursor := range []struct {
		text   string
		behind bool
	}{{"z-90", true}, {"z-91", false}, {"y-1", false}} {
		query := "?channel=a&cursor=" + cursor.text
		for _, path := range []string{"/poll", "/channels/a/history"} {
			c := h.call(get(path + query))
			if !cursor.behind {
				if path == "/poll" && (c.Verdict != loop.Park || c.Sub.From != fanout.Foreign) {
					t.Errorf("%s: verdict %d %s, want a gap", cursor.text, c.Verdict, c.Out)
				}
				if c.Verdict == loop.Later {
					h.door.wait(t)
				}
				continue
			}
			resp, body := readAnswer(t, "GET /", c.Out)
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, `"node_behind"`) || resp.Close {
				t.Errorf("%s: %d %v %s", path, resp.StatusCode, resp.Header, body)
			}
		}
		c := h.call(get("/sse" + query))
		if out := string(c.Out); cursor.behind != (c.Verdict == loop.ReplyClose) || cursor.behind && (!strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.Contains(out, "\r\n\r\nretry:")) {
			t.Errorf("SSE, %s: verdict %d %s", cursor.text, c.Verdict, out)
		}
		for _, protocol := range []string{"", "peal.raw", "peal.v1"} {
			lines := handshake
			if protocol != "" {
				lines += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
			}
			c := h.call("GET /ws" + query + " HTTP/1.1\r\n" + lines + "\r\n")
			_, frame, _ := strings.Cut(string(c.Out), "\r\n\r\n")
			if cursor.behind != (c.Verdict == loop.ReplyClose) || cursor.behind && !strings.HasPrefix(frame[2:], "\x03\xf5node_behind: ") {
				t.Errorf("WebSocket %q, %s: verdict %d %q", protocol, cursor.text, c.Verdict, frame)
			}
		}
		for _, name := range []string{"subscribe", "history"} {
			client := &fakeClient{commands: true}
			h.front.Message(client, false, []byte(`{"id":3,"command":"`+name+`","channel":"a","cursor":"`+cursor.text+`"}`))
			if client.asking {
				client.written = h.door.wait(t)
			}
			got := strings.Join(frames(t, client.written), "")
			if cursor.behind != strings.Contains(got, `{"id":3,"error":{"code":"node_behind"`) || cursor.behind && len(client.subscribed) > 0 {
				t.Errorf("%s, %s: %s", name, cursor.text, got)
			}
		}
	}
}

// What is read between the two looks is no gap.
func TestACursorThatIsReadMeanwhile(t *testing.T) {
	h, l := newShared(t)
	reading := &readingLog{sharedLog: l}
	h = h.withLog(reading)
	c := h.call(get("/poll?channel=a&cursor=z-5"))
	if c.Verdict != loop.Park || c.Sub.From != fanout.After || c.Sub.Sequence != 5 {
		t.Errorf("verdict %d, %+v", c.Verdict, c.Sub)
	}
}

// readingLog reads up to the cursor before it looks whether it is ahead.
type readingLog struct{ *sharedLog }

func (l *readingLog) Ahead(c log.Cursor) bool {
	l.fakeLog.head = c.Sequence
	return false
}

// A node that may not know of revocations refuses users, and nobody else.
func TestAStaleNodeRefusesUsers(t *testing.T) {
	stale := new(atomic.Bool)
	g := newGuarded(t, func(d *httpapi.Deps) { d.Stale = stale })
	for _, on := range []bool{false, true, false} {
		stale.Store(on)
		want := "ok"
		if on {
			want = "503 node_behind"
		}
		for _, in := range []string{get("/poll?channel=a&token=t.o.k"), getWith("/channels/a/history", bearing("t.o.k")), post("/publish?channel=p", "x", bearing("t.o.k"))} {
			if got := g.outcome(in); got != want {
				t.Errorf("stale %v: %.40q: %s, want %s", on, in, got, want)
			}
		}
		if got := g.outcome(getWith("/channels/a/history", withKey)); got != "ok" {
			t.Errorf("stale %v: a backend: %s", on, got)
		}
	}
}
