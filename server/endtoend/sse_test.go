package endtoend_test

import (
	"strconv"
	"testing"
)

func TestSSEHeadAndPositionComeAtOnce(t *testing.T) {
	p := start(t)
	now := p.publish("elsewhere", "x")
	s := p.events("channel=a")
	if got := s.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	if got := s.header.Get("X-Accel-Buffering"); got != "no" {
		t.Errorf("X-Accel-Buffering is %q", got)
	}
	s.opened()
	if s.lastID != now {
		t.Errorf("the stream begins at %q, want the present, %q", s.lastID, now)
	}
	if ms, err := strconv.Atoi(s.retry); err != nil || ms < 100 || ms > 60_000 {
		t.Errorf("retry is %q", s.retry)
	}
	p.publish("a", "now live")
	if e := s.next(); e.data != "now live" {
		t.Errorf("got %+v", e)
	}
}

func TestSSEEventsAndData(t *testing.T) {
	p := start(t)
	s := p.events("channel=a").opened()
	for _, c := range []struct{ path, data, name, want string }{
		{"", "plain", "message", "plain"},
		{"&event=price", "12", "price", "12"},
		{"&event=zwei%20Wörter", "x", "zwei Wörter", "x"},
		{"", "two\nlines", "message", "two\nlines"},
		{"", "cr\rcrlf\r\nend\n", "message", "cr\ncrlf\nend\n"},
		{"", "", "message", ""},
		{"", "\n", "message", "\n"},
		{"", " leading space", "message", " leading space"},
		{"", "data: not a field\n\nid: 7\nevent: evil", "message", "data: not a field\n\nid: 7\nevent: evil"},
		{"", ":comment", "message", ":comment"},
		{"", "\xff\x00", "message", "/wA="},
	} {
		cursor := p.publishTo("/publish?channel=a"+c.path, c.data, "Content-Type: text/plain")
		if got := s.next(); got != (event{c.name, c.want, cursor}) {
			t.Errorf("%q arrives as %+v, want %q of %s at %s", c.data, got, c.want, c.name, cursor)
		}
	}
}

func TestSSEJSONFormat(t *testing.T) {
	p := start(t)
	s := p.events("channel=a&channel=b&format=json").opened()
	cursor := p.publishTo("/publish?channel=b&event=e", "two\nlines", "Content-Type: text/plain")
	e := s.next()
	m := decode[message](t, []byte(e.data))
	if e.name != "e" || e.id != cursor || m.Cursor != cursor || m.Channel != "b" || m.Event != "e" || m.text() != "two\nlines" {
		t.Errorf("got %+v: %+v", e, m)
	}
}

func TestSSEResumesByLastEventID(t *testing.T) {
	p := start(t)
	s := p.events("channel=a&channel=b").opened()
	p.publish("a", "one")
	if got := s.next(); got.data != "one" {
		t.Fatalf("got %+v", got)
	}
	s.close()
	p.publish("b", "two")
	p.publish("a", "three")
	p.publish("c", "not subscribed")
	for _, again := range []*eventStream{
		p.events("channel=a&channel=b", "Last-Event-ID: "+s.lastID),
		p.events("channel=a&channel=b&last_event_id=" + s.lastID),
		p.events("channel=a&channel=b&cursor=" + s.lastID),
		// EventSource repeats its URL: the header is newer than the query.
		p.events("channel=a&channel=b&cursor=earliest", "Last-Event-ID: "+s.lastID),
		p.events("channel=a&channel=b&last=2"),
	} {
		if one, two := again.next(), again.next(); one.data != "two" || two.data != "three" {
			t.Errorf("resumed with %q, %q, want two, three", one.data, two.data)
		}
	}
	// A stream that was opened and had no message resumes from where it was opened.
	idle := p.events("channel=a").opened()
	idle.close()
	p.publish("a", "four")
	if got := p.events("channel=a", "Last-Event-ID: "+idle.lastID).next(); got.data != "four" {
		t.Errorf("resumed with %+v, want four", got)
	}
}
