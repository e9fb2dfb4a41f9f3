package endtoend_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
)

// foreign are cursors that mean nothing to a fresh server.
func foreign(head string) []string {
	return []string{
		"nonsense",
		"1z141z4-1042", // another epoch
		"0",
		"-1",
		"%F0%9F%94%94",
		head + "9999999", // ahead of the log
	}
}

func TestForeignCursorIsToldAsAGapOnAllTransports(t *testing.T) {
	p := start(t)
	head := p.publish("a", "retained")
	for _, cursor := range foreign(head) {
		p.tellsAGap(cursor, "retained")
	}
}

// tellsAGap asks on all transports for what came after a cursor that means
// nothing. Channel a has one message, which must follow the gap.
func (p *peal) tellsAGap(cursor, retained string) {
	t := p.t
	t.Helper()
	query := "channel=a&cursor=" + cursor

	a := p.poll(query)
	if len(a.Gap) != 1 || a.Gap[0].Channel != "a" || !slices.Equal(a.texts(), []string{retained}) {
		t.Errorf("poll %s: gap %v, messages %q", cursor, a.Gap, a.texts())
	}

	raw := p.do("GET", "/poll?format=raw&"+query, "")
	if gaps := decode[[]gap](t, []byte(raw.header.Get("Peal-Gap"))); len(gaps) != 1 || gaps[0].Channel != "a" || string(raw.body) != retained {
		t.Errorf("raw poll %s: %v %q", cursor, raw.header, raw.body)
	}

	s := p.events(query)
	if e := s.next(); e.name != "gap" || decode[gap](t, []byte(e.data)).Channel != "a" {
		t.Errorf("SSE %s begins with %+v, want the event gap", cursor, e)
	}
	if e := s.next(); e.data != retained {
		t.Errorf("SSE %s goes on with %+v", cursor, e)
	}

	w := p.dialSocket("/ws?format=json&"+query, nil)
	if said := decode[struct{ Gap []gap }](t, []byte(w.next().data)); len(said.Gap) != 1 || said.Gap[0].Channel != "a" {
		t.Errorf("JSON WebSocket %s begins with %+v", cursor, said)
	}
	if m := w.nextObject(); m.text() != retained {
		t.Errorf("JSON WebSocket %s goes on with %+v", cursor, m)
	}

	if code := p.dialSocket("/ws?"+query, nil).closed(); code != 4409 {
		t.Errorf("raw WebSocket %s is closed with %d, want 4409", cursor, code)
	}
	if f := p.dialSocket("/ws?gap=ignore&"+query, nil).next(); f.data != retained {
		t.Errorf("raw WebSocket %s with gap=ignore gets %+v", cursor, f)
	}

	h := decode[struct {
		Gap      []gap
		Messages []message
	}](t, p.do("GET", "/channels/a/history?"+query, "").body)
	if len(h.Gap) != 1 || len(h.Messages) != 1 || h.Messages[0].text() != retained {
		t.Errorf("history %s: %+v", cursor, h)
	}

	v := p.dialSocket("/ws", map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}})
	v.next()
	if text, err := url.QueryUnescape(cursor); err == nil {
		cursor = text
	}
	v.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"a","cursor":%q}`, cursor))
	if said := decode[struct{ Gap []gap }](t, []byte(v.next().data)); len(said.Gap) != 1 || said.Gap[0].Channel != "a" {
		t.Errorf("peal.v1 %s begins with %+v", cursor, said)
	}
	v.next() // it is subscribed
	if m := v.nextObject(); m.text() != retained {
		t.Errorf("peal.v1 %s goes on with %+v", cursor, m)
	}
}

func TestDiscardedHistoryIsToldAsAGap(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	old := p.publish("a", "first")
	fresh := p.publish("quiet", "kept")
	s := p.dialSocket("/ws?channel=a", nil)
	for range 1100 { // more than the 1,000 that a channel keeps
		s.send(false, "x")
	}
	for range 1100 {
		s.next()
	}
	a := p.poll("channel=a&channel=quiet&cursor=" + old)
	if len(a.Gap) != 1 || a.Gap[0].Channel != "a" || a.Gap[0].From != old {
		t.Errorf("gap %+v, want one on a from %s", a.Gap, old)
	}
	if b := p.poll("channel=a&last=1"); len(b.Gap) != 0 {
		t.Errorf("last=1: gap %+v", b.Gap)
	}
	if b := p.poll("channel=a&cursor=earliest"); len(b.Gap) != 0 {
		t.Errorf("cursor=earliest: gap %+v", b.Gap)
	}
	if b := p.poll("channel=quiet&timeout=1&cursor=" + fresh); len(b.Gap) != 0 {
		t.Errorf("a channel that lost nothing: gap %+v", b.Gap)
	}
}

func TestCursorOfOneTransportResumesOnAnother(t *testing.T) {
	p := start(t)
	// Each transport receives one message of a or b and so learns a cursor.
	sse := p.events("channel=a&channel=b").opened()
	ws := p.dialSocket("/ws?channel=a&channel=b&format=json", nil)
	published := p.publish("a", "one")
	cursors := map[string]string{
		"publish":   published,
		"SSE":       sse.next().id,
		"WebSocket": ws.nextObject().Cursor,
		"poll":      p.poll("channel=a&last=1").Cursor,
		"raw poll":  p.do("GET", "/poll?format=raw&channel=a&last=1", "").header.Get("Peal-Cursor"),
	}
	p.publish("b", "two")
	p.publish("a", "three")
	want := []string{"two", "three"}
	for from, cursor := range cursors {
		check := func(on string, got ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("a cursor of %s resumes on %s with %q, want %q", from, on, got, want)
			}
		}
		query := "channel=b&channel=a&cursor=" + cursor
		check("poll", p.poll(query).texts()...)
		s := p.events(query)
		check("SSE", s.next().data, s.next().data)
		w := p.dialSocket("/ws?format=json&"+query, nil)
		check("WebSocket", w.nextObject().text(), w.nextObject().text())
		r := p.dialSocket("/ws?"+query, nil)
		check("raw WebSocket", r.next().data, r.next().data)
	}
}
