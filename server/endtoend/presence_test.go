package endtoend_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
)

type presenceEvent struct {
	Channel, Cursor string
	Count           int
	Join, Leave     []member
	Joined, Left    int
}

type member struct{ Client, Info string }

// present is the answer to a query of who is there.
type present struct {
	Channel, Cursor  string
	Count, Anonymous int
	Members          []member
	Next             string
}

func (p *peal) present(query string) present {
	p.t.Helper()
	a := p.do("GET", "/channels/"+query, "")
	if a.status != 200 {
		p.t.Fatalf("presence of %s: %d %s", query, a.status, a.body)
	}
	return decode[present](p.t, a.body)
}

func (p present) names() string {
	var all []string
	for _, m := range p.Members {
		all = append(all, m.Client)
	}
	return strings.Join(all, " ")
}

// roster is a list of who is on the channel room, kept as docs/protocol.md says,
// over one of the transports. next is what comes: events, or a gap on their channel.
type roster struct {
	p       *peal
	next    func() (events []presenceEvent, gap bool)
	members map[string]string // nil: to be asked for
	events  int               // that had names
}

const told = "channel=room&presence=1"

// watchers makes a roster over each transport.
var watchers = map[string]func(p *peal) *roster{
	"WebSocket": func(p *peal) *roster {
		return spoken(p, p.dialSocket("/ws?format=json&"+told, nil))
	},
	"peal.v1 by URL": func(p *peal) *roster {
		s := p.dialSocket("/ws?"+told, v1)
		s.next() // connected
		return spoken(p, s)
	},
	"peal.v1": func(p *peal) *roster {
		s := p.dialSocket("/ws", v1)
		s.next() // connected
		s.send(false, `{"id":1,"command":"subscribe","channel":["room","elsewhere"],"presence":true}`)
		s.next() // its answer
		return spoken(p, s)
	},
	"SSE":      func(p *peal) *roster { return streamed(p, p.events(told).opened()) },
	"SSE JSON": func(p *peal) *roster { return streamed(p, p.events(told+"&format=json").opened()) },
	"poll": func(p *peal) *roster {
		cursor := p.publish("elsewhere", "where it begins")
		return &roster{p: p, next: func() ([]presenceEvent, bool) {
			a := p.poll(told + "&cursor=" + cursor)
			cursor = a.Cursor
			return a.Presence, slices.ContainsFunc(a.Gap, func(g gap) bool { return g.Channel == "$presence:room" })
		}}
	},
}

var v1 = http.Header{"Sec-Websocket-Protocol": {"peal.v1"}}

func spoken(p *peal, s *socket) *roster {
	return &roster{p: p, next: func() ([]presenceEvent, bool) {
		f := decode[struct {
			Presence presenceEvent
			Gap      []gap
		}](p.t, []byte(s.next().data))
		return []presenceEvent{f.Presence}, len(f.Gap) > 0
	}}
}

func streamed(p *peal, s *eventStream) *roster {
	return &roster{p: p, next: func() ([]presenceEvent, bool) {
		e := s.next()
		if e.name == "gap" {
			return nil, true
		}
		told := decode[presenceEvent](p.t, []byte(e.data))
		if e.name != "peal.presence" || e.id != told.Cursor {
			p.t.Fatalf("the stream has %+v", e)
		}
		return []presenceEvent{told}, false
	}}
}

// until reads what comes until the list is the wanted one: "ann bob=Info".
func (r *roster) until(want string) {
	r.p.t.Helper()
	for began := time.Now(); ; {
		if time.Since(began) > patience {
			r.p.t.Fatalf("the roster stays %v, want %s", r.members, want)
		}
		if r.members == nil {
			r.members = map[string]string{}
			for _, m := range r.p.present("room/presence").Members {
				r.members[m.Client] = m.Info
			}
		}
		var now []string
		for client, info := range r.members {
			now = append(now, strings.TrimSuffix(client+"="+info, "="))
		}
		slices.Sort(now)
		if strings.Join(now, " ") == want {
			return
		}
		events, gap := r.next()
		if gap {
			r.members = nil
		}
		for _, e := range events {
			r.apply(e)
		}
	}
}

func (r *roster) apply(e presenceEvent) {
	if e.Join == nil {
		r.members = nil
	}
	if r.members == nil {
		return
	}
	r.events++
	for _, m := range e.Join {
		r.members[m.Client] = m.Info
	}
	for _, m := range e.Leave {
		delete(r.members, m.Client)
	}
}

// guests are ways to be on the channel room under a name; what they return ends it.
var guests = map[string]func(p *peal, name string) (end func()){
	"raw WebSocket": func(p *peal, name string) func() {
		return p.dialSocket("/ws?channel=room&client="+name, nil).close
	},
	"JSON WebSocket": func(p *peal, name string) func() {
		return p.dialSocket("/ws?format=json&channel=room&client="+name, nil).close
	},
	"peal.v1 by URL": func(p *peal, name string) func() {
		return p.dialSocket("/ws?channel=room&client="+name, v1).close
	},
	"peal.v1 named by URL": func(p *peal, name string) func() {
		s := p.dialSocket("/ws?client="+name, v1)
		s.send(false, `{"id":1,"command":"subscribe","channel":"room"}`)
		return s.close
	},
	"peal.v1": func(p *peal, name string) func() {
		s := p.dialSocket("/ws", v1)
		s.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":["room","other"],"client":%q}`, name))
		return func() { s.send(false, `{"id":2,"command":"unsubscribe","channel":"room"}`) }
	},
	"SSE": func(p *peal, name string) func() {
		return p.events("channel=room&client=" + name).opened().close
	},
	"poll": func(p *peal, name string) func() {
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() { // polls again and again, until stop
			defer close(ended)
			for {
				if _, err := p.try("GET", "/poll?timeout=1&channel=room&client="+name, ""); err != nil {
					p.t.Errorf("poll: %v", err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		return func() {
			close(stop)
			<-ended
		}
	},
}

func startPresence(t *testing.T, grace time.Duration) *peal {
	return startWith(t, func(c *server.Config) { c.Presence.Grace = grace })
}

func TestWhoComesAndGoesIsToldOnAllTransports(t *testing.T) {
	for transport, watch := range watchers {
		t.Run(transport, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			p := startPresence(t, 300*time.Millisecond)
			r := watch(p)
			r.until("")
			for way, enter := range guests {
				end := enter(p, "ann")
				r.until("ann")
				if got := p.present("room/presence"); got.Count != 1 || got.names() != "ann" {
					t.Errorf("%s: the list is %+v", way, got)
				}
				end()
				r.until("")
			}
			if r.events == 0 && transport != "poll" { // between two polls there may be gaps only
				t.Error("no event had names")
			}
		})
	}
}

// A reconnect, a change of transport, and the time between two polls are no news.
func TestComingBackWithinTheGraceIsNoNews(t *testing.T) {
	p := startPresence(t, time.Hour)
	r := watchers["SSE"](p)
	r.until("")
	guests["SSE"](p, "ann")()
	r.until("ann")
	before := r.events
	for _, enter := range guests {
		enter(p, "ann")()
	}
	guests["raw WebSocket"](p, "bob")
	r.until("ann bob")
	if r.events != before+1 {
		t.Errorf("%d events since ann was there, want that of bob", r.events-before)
	}
}

func TestConnectionsOfAClientAreOneMember(t *testing.T) {
	p := startPresence(t, 100*time.Millisecond)
	r := watchers["peal.v1"](p)
	first := guests["SSE"](p, "ann&info=one")
	r.until("ann=one")
	second := guests["raw WebSocket"](p, "ann&info=two%20%26%22")
	r.until(`ann=two &"`)
	guests["peal.v1"](p, "bob")
	r.until(`ann=two &" bob`)
	first()
	p.awaitSubscribers("room", 3) // with the roster's
	guests["SSE"](p, "carl")
	r.until(`ann=two &" bob carl`)
	second()
	r.until("bob carl")
}

func TestAClientThatIsKilledLeaves(t *testing.T) {
	p := startPresence(t, 100*time.Millisecond)
	r := watchers["SSE"](p)
	w := p.dial()
	w.send("GET /sse?channel=room&client=ann HTTP/1.1\r\nHost: localhost\r\n\r\n")
	r.until("ann")
	_ = tcp(w.conn).SetLinger(0) // the kernel says it with a reset, as for a process that was killed
	_ = w.conn.Close()
	r.until("")
}

func TestManyMembersAreCountedAndListedByPages(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.Presence.Grace, c.Presence.Named = 100*time.Millisecond, 3 })
	r := watchers["SSE"](p)
	var ends []func()
	for i := range 10 {
		ends = append(ends, guests["raw WebSocket"](p, fmt.Sprint("client", i)))
	}
	awaitCount := func(want int) {
		t.Helper()
		for {
			events, _ := r.next()
			for _, e := range events {
				if e.Count > 3 && (e.Join != nil || e.Leave != nil) {
					t.Fatalf("names of a crowd: %+v", e)
				}
				if e.Count == want {
					return
				}
			}
		}
	}
	awaitCount(10)
	p.events("channel=room").opened() // nobody by name
	p.awaitSubscribers("room", 12)    // with the roster's
	var names []string
	query, pages := "room/presence?limit=4", 0
	for next := " "; next != ""; pages++ {
		page := p.present(query)
		if page.Count != 10 || page.Anonymous != 2 || page.Channel != "room" {
			t.Errorf("%s: %+v", query, page)
		}
		for _, m := range page.Members {
			names = append(names, m.Client)
		}
		next = page.Next
		query = "room/presence?limit=4&after=" + next
	}
	if want := "client0 client1 client2 client3 client4 client5 client6 client7 client8 client9"; strings.Join(names, " ") != want || pages != 3 {
		t.Errorf("in %d pages: %v", pages, names)
	}
	for _, end := range ends[1:] {
		end()
	}
	awaitCount(1)
	ends[0]()
	r.members = nil
	r.until("")
}

func TestPresenceIsInNoHistoryAndNoList(t *testing.T) {
	p := startPresence(t, time.Hour)
	p.publish("room", "one")
	r := watchers["WebSocket"](p)
	guests["raw WebSocket"](p, "zoe")
	r.until("zoe")
	if a := p.do("GET", "/channels/room/history", ""); strings.Contains(string(a.body), "zoe") || !strings.Contains(string(a.body), "one") {
		t.Errorf("the history is %s", a.body)
	}
	if a := p.poll("channel=room&cursor=earliest"); !slices.Equal(a.texts(), []string{"one"}) || a.Presence != nil {
		t.Errorf("polled %+v", a)
	}
	if a := p.do("GET", "/channels", ""); strings.Contains(string(a.body), "$") {
		t.Errorf("the channels are %s", a.body)
	}
	if a := p.do("GET", "/channels/$presence:room", ""); a.status != 403 {
		t.Errorf("the server's channel: %d %s", a.status, a.body)
	}
	// A WebSocket with one channel and its presence publishes to the channel.
	s := p.dialSocket("/ws?format=json&channel=aside&presence=1&client=bob", nil)
	s.send(false, "hello")
	for {
		if m := s.nextObject(); m.text() == "hello" && m.Channel == "aside" {
			break
		}
	}
}

func TestAskingForPresenceInVain(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Channels = []rules.Rule{{Match: "quiet*", Presence: rules.No}}
		c.Presence.ChannelMembers = 1
		c.HTTP.ChannelLimit = 2
	})
	check := func(path string, status int, code string) {
		t.Helper()
		if a := p.do("GET", path, ""); a.status != status || decode[problem](t, a.body).Error.Code != code {
			t.Errorf("%s: %d %s, want %d %s", path, a.status, a.body, status, code)
		}
	}
	check("/channels/quiet/presence", 403, "presence_off")
	check("/poll?presence=1&channel=quiet", 403, "presence_off")
	check("/sse?presence=1&channel=quiet&channel=quiet.too", 403, "presence_off")
	check("/poll?presence=1&format=raw", 400, "bad_presence")
	check("/poll?client=%00", 400, "bad_client")
	check("/sse?client="+strings.Repeat("x", 201), 400, "bad_client")
	check("/poll?client=x&info=%ff", 400, "bad_info")
	check("/sse?client=x&info="+strings.Repeat("x", 1025), 400, "bad_info")
	check("/channels/room/presence?limit=0", 400, "bad_limit")
	if code := p.dialSocket("/ws?presence=1", nil).closed(); code != 4400 {
		t.Errorf("presence on a raw WebSocket: closed with %d", code)
	}
	if code := p.dialSocket("/ws?presence=1&channel=quiet&format=json", nil).closed(); code != 4403 {
		t.Errorf("presence of a channel without: closed with %d", code)
	}
	s := p.dialSocket("/ws", v1)
	s.next()
	for command, want := range map[string]string{
		`"subscribe","channel":"quiet","presence":true`:  "presence_off",
		`"subscribe","channel":"room","presence":1`:      "bad_field",
		`"subscribe","channel":"room","client":7`:        "bad_field",
		`"subscribe","channel":"room","client":"\u0000"`: "bad_client",
		`"presence","channel":["room","quiet"]`:          "bad_channel",
		`"presence","channel":"quiet"`:                   "presence_off",
		`"presence","channel":"room","limit":-1`:         "bad_limit",
	} {
		s.send(false, `{"id":1,"command":`+command+`}`)
		if got := s.next().data; !strings.Contains(got, `"code":"`+want+`"`) {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}

	// The server's channels are not among those that a client may have.
	for _, channel := range []string{"one", "two"} {
		s.send(false, fmt.Sprintf(`{"id":2,"command":"subscribe","channel":%q,"presence":true}`, channel))
		for got := ""; !strings.HasPrefix(got, `{"id":2,"ok":true`); {
			if got = s.next().data; strings.Contains(got, "error") {
				t.Fatalf("the channel %s and its presence: %s", channel, got)
			}
		}
	}

	// Whom there is no room for, and who is on a quiet channel, is counted.
	p.events("channel=quiet&client=ann").opened()
	for _, name := range []string{"ann", "bob"} {
		p.events("channel=room&client=" + name).opened()
	}
	if got := p.present("room/presence"); got.Count != 1 || got.Anonymous != 1 || got.names() != "ann" {
		t.Errorf("the room for one has %+v", got)
	}
	if p.subscribers("quiet") != 1 {
		t.Error("nobody is on the quiet channel")
	}
}

// A URL has one word for all of its channels, and some may have no presence.
func TestAChannelWithoutPresenceIsPassedOverBesideOthers(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Channels = []rules.Rule{{Match: "quiet", Presence: rules.No}}
	})
	s := p.events("channel=quiet&" + told).opened()
	r := streamed(p, s)
	guests["SSE"](p, "zoe")
	r.until("zoe")
	p.publish("quiet", "is received")
	if e := s.next(); e.data != "is received" {
		t.Errorf("the quiet channel has %+v", e)
	}
}

// After a restart nothing is known of before: who comes back with a cursor is
// made to ask, by a gap or by an event without names.
func TestPresenceBeginsAnewWithALogInFiles(t *testing.T) {
	flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + filepath.Join(t.TempDir(), "log"), "--presence-grace", "200ms"}
	p := launch(t, flags...)
	s := p.events(told).opened()
	r := streamed(p, s)
	r.until("")
	guests["raw WebSocket"](p, "ann")
	r.until("ann")
	p.publish("room", "kept")
	cursor := s.lastID
	p.signal(syscall.SIGKILL)
	p.exitCode()

	p = launch(t, flags...)
	s = p.events(told + "&cursor=" + cursor)
	again := s.next()
	for again.data != "kept" && again.name == "message" {
		again = s.next()
	}
	if again.data != "kept" {
		t.Fatalf("resumed with %+v", again)
	}
	if e := s.next(); e.name != "peal.presence" || decode[presenceEvent](t, []byte(e.data)).Join != nil {
		t.Fatalf("then came %+v, want presence without names", e)
	}
	r = streamed(p, s)
	guests["raw WebSocket"](p, "bob")
	r.until("bob")
	s.close()
	p.poll("channel=room&cursor=earliest")
}
