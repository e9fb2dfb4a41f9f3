package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"peal/server"
)

// receiver is a client of one transport. Its data says of every message, and of every
// gap, which are "gap".
type receiver struct {
	session string // that the server gave, or that the client presented
	next    func() string
}

// receivers connect to channel a with the query added, on every transport, and wait
// until the server has subscribed them.
var receivers = map[string]func(p *peal, query string) *receiver{
	"raw WebSocket": func(p *peal, query string) *receiver {
		s, response, err := p.tryDialSocket("/ws?channel=a"+query, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		return &receiver{response.Header.Get("Peal-Session"), func() string { return s.next().data }}
	},
	"JSON WebSocket": func(p *peal, query string) *receiver {
		s, response, err := p.tryDialSocket("/ws?format=json&channel=a"+query, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		return &receiver{response.Header.Get("Peal-Session"), func() string { return dataIn(p.t, s.next().data) }}
	},
	"peal.v1": func(p *peal, query string) *receiver {
		s := p.dialSocket("/ws?channel=a"+query, http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
		greeting := decode[struct{ Connected struct{ Session string } }](p.t, []byte(s.next().data))
		return &receiver{greeting.Connected.Session, func() string { return dataIn(p.t, s.next().data) }}
	},
	"peal.v1, subscribed later": func(p *peal, query string) *receiver {
		q, err := url.ParseQuery(strings.TrimPrefix(query, "&"))
		if err != nil {
			p.t.Fatal(err)
		}
		s := p.dialSocket("/ws?session="+q.Get("session"), http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
		greeting := decode[struct{ Connected struct{ Session string } }](p.t, []byte(s.next().data))
		s.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"a","cursor":%q}`, q.Get("cursor")))
		s.next() // the reply
		return &receiver{greeting.Connected.Session, func() string { return dataIn(p.t, s.next().data) }}
	},
	"SSE": func(p *peal, query string) *receiver {
		s := p.events("channel=a" + query)
		return &receiver{s.header.Get("Peal-Session"), func() string {
			if e := s.next(); e.name != "gap" {
				return e.data
			}
			return "gap"
		}}
	},
	"poll": func(p *peal, query string) *receiver {
		r := &receiver{}
		q, err := url.ParseQuery("channel=a&timeout=1" + query)
		if err != nil {
			p.t.Fatal(err)
		}
		r.session = q.Get("session")
		var waiting []string
		poll := func() {
			a := p.do("GET", "/poll?"+q.Encode(), "")
			got := decode[polled](p.t, a.body)
			if id := a.header.Get("Peal-Session"); id != "" && r.session == "" {
				r.session = id
			}
			q.Set("cursor", got.Cursor)
			q.Set("session", r.session)
			for range got.Gap {
				waiting = append(waiting, "gap")
			}
			waiting = append(waiting, got.texts()...)
		}
		poll() // for its session, at the latest after the timeout
		r.next = func() string {
			for len(waiting) == 0 {
				poll()
			}
			first := waiting[0]
			waiting = waiting[1:]
			return first
		}
		return r
	},
}

// dataIn is the data of a message, or "gap".
func dataIn(t testing.TB, text string) string {
	t.Helper()
	var m struct {
		Gap  []gap
		Data string
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Gap) > 0 {
		return "gap"
	}
	return m.Data
}

func (r *receiver) wants(t *testing.T, what string, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, r.next())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s received %q, want %q", what, got, want)
	}
}

// One session is left out of a message on every transport: while it is connected, after
// it has come back with its id, also to a server that was started again, and by an id
// that it has made itself. It never receives a gap for that, and others miss nothing.
func TestOneSessionIsLeftOut(t *testing.T) {
	for name, connect := range receivers {
		t.Run(strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", ""), func(t *testing.T) {
			t.Parallel()
			flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + t.TempDir(), "--fsync", "never"}
			p := launch(t, flags...)
			begin := p.publish("a", "begin")
			me, other := connect(p, ""), connect(p, "")
			if len(me.session) != 22 || me.session == other.session {
				t.Fatalf("the sessions are %q and %q", me.session, other.session)
			}
			p.publishTo("/publish?channel=a&exclude="+me.session, "not for me")
			p.publish("a", "one")
			me.wants(t, "who is left out", "one")
			other.wants(t, "another", "not for me", "one")

			connect(p, "&cursor="+begin+"&session="+me.session).wants(t, "who is left out and came back", "one")
			history := func(session string) (texts []string) {
				for _, m := range decode[polled](t, p.do("GET", "/channels/a/history?cursor="+begin+session, "").body).Messages {
					texts = append(texts, m.text())
				}
				return texts
			}
			if mine, all := history("&session="+me.session), history(""); !slices.Equal(mine, []string{"one"}) || !slices.Equal(all, []string{"not for me", "one"}) {
				t.Errorf("the history has %q for who is left out, %q for others", mine, all)
			}
			connect(p, "&cursor="+begin).wants(t, "a stranger", "not for me", "one")
			p.ended()

			p = launch(t, flags...)
			me = connect(p, "&cursor="+begin+"&session="+me.session)
			me.wants(t, "who is left out, after a restart,", "one")
			connect(p, "&cursor="+begin+"&session="+other.session).wants(t, "another, after a restart,", "not for me", "one")
			p.publishTo("/publish?channel=a&exclude="+me.session, "nor this")
			last := p.publish("a", "two")
			me.wants(t, "who is left out, after a restart,", "two")

			const own = "bXktb3duLXNlc3Npb24tIQ"
			mine := connect(p, "&cursor="+last+"&session="+own)
			p.publishTo("/publish?channel=a&exclude="+own, "still not")
			p.publish("a", "three")
			mine.wants(t, "who has an id of its own", "three")
			if mine.session != own {
				t.Errorf("its session is %q, want %q", mine.session, own)
			}
		})
	}
}

// exclude is a field of all that publishes, and what is no id is refused.
func TestAllPublishersCanLeaveOneOut(t *testing.T) {
	p := start(t)
	me := p.events("channel=a&format=json")
	opened := decode[struct{ Session string }](t, []byte(firstData(t, me)))
	id := me.header.Get("Peal-Session")
	if opened.Session != id || id == "" {
		t.Fatalf("the stream opens with session %q, its head with %q", opened.Session, id)
	}
	v1 := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	v1.next() // the greeting
	ways := map[string]func(exclude string) string{
		"query": func(id string) string { return string(p.do("POST", "/publish?channel=a&exclude="+id, "x").body) },
		"form": func(id string) string {
			return string(p.do("POST", "/publish", "channel=a&data=x&exclude="+id, "Content-Type: application/x-www-form-urlencoded").body)
		},
		"JSON": func(id string) string {
			return string(p.do("POST", "/publish", `{"channel":"a","data":"x","exclude":"`+id+`"}`, "Content-Type: application/json").body)
		},
		"batch": func(id string) string {
			return string(p.do("POST", "/publish/batch", `{"messages":[{"channel":["a","b"],"data":"x","exclude":"`+id+`"}]}`).body)
		},
		"peal.v1": func(id string) string {
			v1.send(false, `{"id":1,"command":"publish","channel":"a","data":"x","exclude":"`+id+`"}`)
			return v1.next().data
		},
	}
	for name, publish := range ways {
		if got := publish(id); !strings.Contains(got, `"cursor":`) {
			t.Errorf("%s: %s", name, got)
		}
		for _, bad := range []string{"7", id + "A", "AAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("A", 70)} {
			if got := publish(bad); !strings.Contains(got, `"code":"bad_exclude"`) {
				t.Errorf("%s with %q: %s", name, bad, got)
			}
		}
	}
	p.publish("a", "end")
	if e := me.next(); !strings.Contains(e.data, `"data":"end"`) {
		t.Errorf("who is left out received %s", e.data)
	}
	if got := p.poll("channel=a&cursor=earliest").texts(); len(got) != len(ways)+1 {
		t.Errorf("published %q, want one for each of %d ways", got, len(ways))
	}
	if got := string(p.do("POST", "/publish/batch?exclude="+id, `{"messages":[]}`).body); !strings.Contains(got, `"code":"bad_batch"`) {
		t.Errorf("exclude in the URL of a batch: %s", got)
	}
}

// firstData is the data of the first event of a stream.
func firstData(t *testing.T, s *eventStream) string {
	t.Helper()
	e, _, err := s.block()
	if err != nil {
		t.Fatal(err)
	}
	return e.data
}

// A channel without history: what a session was left out of while it was away is no gap
// for it, though it is gone, and is one for others.
func TestWhatASessionWasLeftOutOfIsNoGap(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.Hub.Limits.Messages = -1 })
	begin := p.publish("a", "begin")
	const me, other = "bXktb3duLXNlc3Npb24tIQ", "aW5vdGhlci1zZXNzaW9uIQ"
	for range 3 {
		p.publishTo("/publish?channel=a&exclude="+me, "not for me")
	}
	var waiting []*receiver
	for name, connect := range receivers {
		if name != "poll" { // it would wait for its timeout first
			waiting = append(waiting, connect(p, "&cursor="+begin+"&session="+me))
		}
	}
	p.awaitSubscribers("a", len(waiting))
	if got := p.poll("channel=a&timeout=1&cursor=" + begin + "&session=" + me); len(got.Gap) != 0 || len(got.Messages) != 0 {
		t.Errorf("a poll of who was left out: %+v", got)
	}
	for session, gaps := range map[string]int{me: 0, other: 1} {
		if got := decode[polled](t, p.do("GET", "/channels/a/history?cursor="+begin+"&session="+session, "").body); len(got.Gap) != gaps {
			t.Errorf("the history says %+v, want %d gaps", got, gaps)
		}
	}
	if got := p.poll("channel=a&timeout=1&cursor=" + begin + "&session=" + other); len(got.Gap) != 1 {
		t.Errorf("a poll of another: %+v, want a gap", got)
	}
	for name, connect := range receivers {
		if name != "raw WebSocket" { // it is closed
			connect(p, "&cursor="+begin+"&session="+other).wants(t, "another on "+name, "gap")
		}
	}
	p.publish("a", "one")
	for _, r := range waiting {
		r.wants(t, "who was left out", "one")
	}
}
