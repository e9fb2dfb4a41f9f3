package endtoend_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestWebSocketMessageReachesEveryClientAndItsSender(t *testing.T) {
	p := start(t)
	sockets := []*socket{
		p.dialSocket("", nil), // ws://host:port as the simplest snippet has it
		p.dialSocket("/", nil),
		p.dialSocket("/ws", nil),
		p.dialSocket("/ws?channel=main", nil),
	}
	other := p.dialSocket("/ws?channel=other", nil)
	sent := []frame{
		{false, "hello"},
		{true, "\x00\xff\xfe binary"},
		{false, ""},
		{true, ""},
		{true, "text bytes in a binary frame"},
		{false, "grüße 🔔\r\n\x00"},
		{false, strings.Repeat("x", 64<<10)},
		{true, strings.Repeat("\xff", 60_000)},
	}
	for i, f := range sent {
		sockets[i%len(sockets)].send(f.binary, f.data)
		for n, s := range sockets {
			if got := s.next(); got != f {
				t.Fatalf("socket %d got %.40q (binary %v), want %.40q (binary %v)", n, got.data, got.binary, f.data, f.binary)
			}
		}
	}
	// The other channel had nothing of it: its first message is its own.
	other.send(false, "mine")
	if got := other.next(); got.data != "mine" {
		t.Errorf("channel other got %.40q", got.data)
	}
}

func TestWebSocketSubprotocol(t *testing.T) {
	p := start(t)
	s := p.dialSocket("/ws?channel=a", http.Header{"Sec-Websocket-Protocol": {"chat, peal.raw"}})
	if s.protocol != "peal.raw" {
		t.Errorf("the server selects %q, want peal.raw", s.protocol)
	}
	p.publish("a", "hi")
	if got := s.next(); got != (frame{false, "hi"}) {
		t.Errorf("got %+v", got)
	}
	if s := p.dialSocket("/ws", nil); s.protocol != "" {
		t.Errorf("unasked, the server selects %q", s.protocol)
	}
}

func TestWebSocketJSONFormat(t *testing.T) {
	p := start(t)
	s := p.dialSocket("/ws?channel=a&format=json", nil)
	cursor := p.publishTo("/publish?channel=a&event=greeting", "hi \"you\"\n", "Content-Type: text/plain")
	got := s.nextObject()
	if got.Channel != "a" || got.Cursor != cursor || got.Event != "greeting" || got.text() != "hi \"you\"\n" || got.Time == 0 {
		t.Errorf("got %+v %q, want cursor %s", got, got.text(), cursor)
	}
	s.send(true, "\xff\x00")
	if got := s.nextObject(); got.DataBase64 == nil || *got.DataBase64 != "/wA=" || got.Data != nil {
		t.Errorf("binary came as %+v, want data_base64 /wA=", got)
	}
}

func TestWebSocketTwoChannelsHaveOneOrder(t *testing.T) {
	p := start(t)
	both := []*socket{
		p.dialSocket("/ws?channel=a&channel=b&format=json", nil),
		p.dialSocket("/ws?channel=b&channel=a&format=json", nil),
		p.dialSocket("/ws?channel[]=a&channel[]=b&format=json", nil),
	}
	onlyA := p.dialSocket("/ws?channel=a&format=json", nil)
	onlyB := p.dialSocket("/ws?channel=b&format=json", nil)

	// Two clients publish at the same time: only the server can give them an order.
	const each = 300
	done := make(chan struct{}, 2)
	for _, channel := range []string{"a", "b"} {
		s := p.dialSocket("/ws?channel="+channel, nil)
		go func() { // ends after each sends
			for range each {
				s.send(false, channel)
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done

	order := make([][]message, len(both))
	for i, s := range both {
		for range 2 * each {
			order[i] = append(order[i], s.nextObject())
		}
	}
	cursors := func(ms []message, channel string) (list []string) {
		for _, m := range ms {
			if channel == "" || m.Channel == channel {
				list = append(list, m.Cursor)
			}
		}
		return list
	}
	want := cursors(order[0], "")
	for i := range order {
		if !slices.Equal(cursors(order[i], ""), want) {
			t.Errorf("socket %d has another order", i)
		}
	}
	if sorted := slices.Sorted(slices.Values(want)); len(slices.Compact(sorted)) != 2*each {
		t.Errorf("%d different cursors, want %d", len(slices.Compact(sorted)), 2*each)
	}
	for channel, s := range map[string]*socket{"a": onlyA, "b": onlyB} {
		var got []message
		for range each {
			got = append(got, s.nextObject())
		}
		if !slices.Equal(cursors(got, ""), cursors(order[0], channel)) {
			t.Errorf("the subscriber of %s alone has another order", channel)
		}
	}
}

func TestWebSocketRefusalsComeAsCloseCodes(t *testing.T) {
	p := start(t)
	tooMany := "/ws?channel=c0"
	for i := range 200 {
		tooMany += "&channel=c" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for _, c := range []struct {
		path string
		want uint16
	}{
		{"/ws?format=xml", 4400},
		{"/ws?channel=", 4400},
		{"/ws?channel=%00", 4400},
		{"/ws?channel=$server", 4403},
		{tooMany, 4413},
		{"/ws?cursor=nonsense", 4409}, // raw has no word for a gap
		{"/ws?cursor=1-1", 4409},
	} {
		if got := p.dialSocket(c.path, nil).closed(); got != c.want {
			t.Errorf("%.40s is closed with %d, want %d", c.path, got, c.want)
		}
	}

	s := p.dialSocket("/ws?channel=a&channel=b", nil)
	s.send(false, "where to?")
	if got := s.closed(); got != 4403 {
		t.Errorf("publishing on two channels is closed with %d, want 4403", got)
	}

	s = p.dialSocket("/ws", nil)
	s.send(false, strings.Repeat("x", 64<<10+1))
	if got := s.closed(); got != 1009 {
		t.Errorf("a message beyond the limit is closed with %d, want 1009", got)
	}
}

func TestWebSocketCursors(t *testing.T) {
	p := start(t)
	first := p.publish("a", "one")
	p.publish("b", "not for a")
	p.publish("a", "two")
	p.publish("a", "three")
	read := func(path string, n int) (texts []string) {
		t.Helper()
		s := p.dialSocket(path, nil)
		for range n {
			texts = append(texts, s.next().data)
		}
		p.publish("a", "live")
		if got := s.next().data; got != "live" {
			t.Errorf("%s: after %q comes %q, want live", path, texts, got)
		}
		return texts
	}
	if got := read("/ws?channel=a&cursor=earliest", 3); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("cursor=earliest brings %q", got)
	}
	if got := read("/ws?channel=a&last=2", 2); !slices.Equal(got, []string{"three", "live"}) {
		t.Errorf("last=2 brings %q", got)
	}
	if got := read("/ws?channel=a&cursor="+first, 4); !slices.Equal(got, []string{"two", "three", "live", "live"}) {
		t.Errorf("the first cursor brings %q", got)
	}
	if got := read("/ws?channel=a&cursor=", 0); len(got) != 0 {
		t.Errorf("an empty cursor brings %q", got)
	}
}
