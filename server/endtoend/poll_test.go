package endtoend_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestPollIsHeldUntilAMessageComes(t *testing.T) {
	p := start(t)
	type result struct {
		answer
		err error
	}
	got := make(chan result, 1)
	go func() { // ends with the answer
		a, err := p.try("GET", "/poll?channel=news", "")
		got <- result{a, err}
	}()
	p.awaitSubscribers("news", 1)
	select {
	case r := <-got:
		t.Fatalf("answered before there was a message: %d %s %v", r.status, r.body, r.err)
	default:
	}
	p.publish("other", "not for it")
	cursor := p.publishTo("/publish?channel=news&event=flash", "hello", "Content-Type: text/plain")
	r := <-got
	if r.err != nil || r.status != 200 {
		t.Fatalf("status %d, %v", r.status, r.err)
	}
	a := decode[polled](t, r.body)
	if len(a.Messages) != 1 || a.Cursor != cursor || len(a.Gap) != 0 {
		t.Fatalf("answered %s, want one message and cursor %s", r.body, cursor)
	}
	if m := a.Messages[0]; m.text() != "hello" || m.Event != "flash" || m.Channel != "news" || m.Cursor != cursor || m.Time == 0 {
		t.Errorf("message is %+v", m)
	}
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header is %v", r.header)
	}
	p.awaitSubscribers("news", 0)
}

func TestPollAnswersAtOnceWhatWaits(t *testing.T) {
	p := start(t)
	one := p.publish("a", "one")
	p.publish("a", "two")
	p.publish("b", "elsewhere")
	p.publish("a", "three")
	check := func(query string, want ...string) polled {
		t.Helper()
		a := p.poll(query)
		if !slices.Equal(a.texts(), want) || len(a.Gap) > 0 {
			t.Errorf("%s: got %q gap %v, want %q", query, a.texts(), a.Gap, want)
		}
		return a
	}
	a := check("channel=a&cursor="+one, "two", "three")
	check("channel=a&cursor=earliest", "one", "two", "three")
	check("channel=a&channel=b&cursor=earliest", "one", "two", "elsewhere", "three")
	check("channel=a&last=2", "two", "three")
	check("channel=a&last=100", "one", "two", "three")
	check("channel=a&channel=b&last=2", "elsewhere", "three")
	check("channel=a&last_event_id="+one, "two", "three")
	check("channel=a&lastEventId="+one, "two", "three")
	check("channel=a&unknown=parameter&cursor="+one, "two", "three")
	if a := p.poll("channel=a", "Last-Event-ID: "+one); !slices.Equal(a.texts(), []string{"two", "three"}) {
		t.Errorf("Last-Event-ID: got %q", a.texts())
	}
	// The answer's cursor leads on, and to channels that were not asked for before.
	p.publish("c", "later")
	check("channel=a&channel=b&channel=c&cursor="+a.Cursor, "later")
}

func TestPollTimeoutAdvancesTheCursor(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	old := p.publish("a", "old")
	now := p.publish("b", "moves the log on")
	a := p.poll("channel=a&timeout=1&cursor=" + old)
	if len(a.Messages) != 0 || len(a.Gap) != 0 || a.Cursor == old {
		t.Errorf("timeout answers %+v, want no messages and a cursor after %s", a, old)
	}
	if a.Cursor != now {
		t.Errorf("timeout answers cursor %s, want %s: all up to there was covered", a.Cursor, now)
	}
	p.publish("a", "new")
	if b := p.poll("channel=a&cursor=" + a.Cursor); !slices.Equal(b.texts(), []string{"new"}) {
		t.Errorf("after the timeout comes %q, want new", b.texts())
	}

	raw := p.do("GET", "/poll?channel=a&timeout=1s&format=raw", "")
	if raw.status != 204 || len(raw.body) != 0 || raw.header.Get("Peal-Cursor") == "" {
		t.Errorf("raw timeout: %d %q %v, want 204 with Peal-Cursor", raw.status, raw.body, raw.header)
	}
	if raw.header.Get("Content-Length") != "" {
		t.Errorf("204 has Content-Length %s", raw.header.Get("Content-Length"))
	}
}

func TestPollRawIsOneMessageAtATime(t *testing.T) {
	p := start(t)
	p.publish("a", "one")
	p.publishTo("/publish?channel=a&event=pair", "two\r\nlines", "Content-Type: text/plain")
	p.publishTo("/publish?channel=a", "\xff\x00", "Content-Type: application/octet-stream")
	cursor := "earliest"
	for i, want := range []struct{ body, event, contentType string }{
		{"one", "", "text/plain; charset=utf-8"},
		{"two\r\nlines", "pair", "text/plain; charset=utf-8"},
		{"\xff\x00", "", "application/octet-stream"},
	} {
		a := p.do("GET", "/poll?channel=a&format=raw&cursor="+cursor, "")
		if a.status != 200 || string(a.body) != want.body || a.header.Get("Peal-Event") != want.event || a.header.Get("Content-Type") != want.contentType {
			t.Errorf("answer %d: %d %q %v, want %+v", i, a.status, a.body, a.header, want)
		}
		cursor = a.header.Get("Peal-Cursor")
	}
	last := p.poll("channel=a&last=1")
	if last.Cursor != cursor {
		t.Errorf("raw cursor is %s, json %s", cursor, last.Cursor)
	}
	if m := last.Messages[0]; m.Data != nil || m.DataBase64 == nil || *m.DataBase64 != "/wA=" {
		t.Errorf("binary in JSON is %+v", m)
	}
}

func TestPollAnswerIsBounded(t *testing.T) {
	p := start(t)
	var batch struct {
		Messages []map[string]string `json:"messages"`
	}
	for i := range 250 {
		batch.Messages = append(batch.Messages, map[string]string{"channel": "a", "data": fmt.Sprint(i)})
	}
	body, _ := json.Marshal(batch) // strings: cannot fail
	if a := p.do("POST", "/publish/batch", string(body), "Content-Type: application/json"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	cursor, next := "earliest", 0
	for next < 250 {
		a := p.poll("channel=a&cursor=" + cursor)
		if len(a.Messages) == 0 || len(a.Messages) > 100 {
			t.Fatalf("an answer of %d messages, want 1 to 100", len(a.Messages))
		}
		for _, m := range a.Messages {
			if m.text() != fmt.Sprint(next) {
				t.Fatalf("got %s, want %d", m.text(), next)
			}
			next++
		}
		cursor = a.Cursor
	}
}
