package httpapi_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"peal/loop/ring"
	"peal/server/log"
)

// Answers that are ready and not taken by their loops are limited: no further ones
// are made for whoever asks, until they are.
func TestAnswersThatWaitForTheirLoopAreLimited(t *testing.T) {
	h := newHarness(t)
	waiting := 0
	h.workers.Count(func() int { return waiting })
	for _, target := range []string{"/channels", "/channels/a/history"} {
		for _, at := range []struct{ waiting, status int }{{0, 200}, {17 << 20, 503}, {1 << 20, 200}} {
			waiting = at.waiting
			if resp, body := h.answer(get(target)); resp.StatusCode != at.status {
				t.Errorf("%s while %d B wait: %d %s, want %d", target, at.waiting, resp.StatusCode, body, at.status)
			}
		}
	}
}

// A page of history is bounded as it is sent, not as it was published: in JSON a
// control character is six bytes. The next page goes on where it ends.
func TestHistoryPagesAreBoundedAsTheyAreSent(t *testing.T) {
	h := newHarness(t)
	const messages, bytesEach = 40, 20_000
	for i := range messages {
		e := &log.Entry{Channel: "a", Time: 1, Data: bytes.Repeat([]byte{1}, bytesEach), Sequence: uint64(i + 1)}
		h.hub.messages = append(h.hub.messages, &ring.Message{Sequence: e.Sequence, Channel: "a", Entry: e, Size: bytesEach})
	}
	h.log.head = messages
	seen, pages, target := 0, 0, "/channels/a/history?cursor=earliest&limit=1000"
	for more := true; more; pages++ {
		_, body := h.answer(get(target))
		if len(body) > 1<<20+7*bytesEach {
			t.Errorf("a page of %d bytes", len(body))
		}
		var page struct {
			Cursor   string
			Messages []struct{ Cursor string }
			More     bool
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		if n := len(page.Messages); n == 0 || page.Messages[n-1].Cursor != page.Cursor && page.More {
			t.Fatalf("page %d: %d messages, cursor %s, more %v", pages, n, page.Cursor, page.More)
		}
		seen += len(page.Messages)
		more, target = page.More, "/channels/a/history?limit=1000&cursor="+page.Cursor
	}
	if seen != messages || pages < 4 {
		t.Errorf("%d messages on %d pages, want %d", seen, pages, messages)
	}
}
