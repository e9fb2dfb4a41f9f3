package httpapi_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/ban"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/refusal"
	"peal/server/revoke"
	"peal/server/share"
)

// fakeDismisser is the loops of a front with some sessions, which stay when they are ended.
type fakeDismisser struct {
	front    *httpapi.Front
	sessions map[uint64]string // each with its name
	ended    []string          // different names, of the last call
	ending   *loop.Ending      // of one of them
	busy     bool
}

func (d *fakeDismisser) Dismiss(_ share.Key, pick func(*httpapi.Front, uint64) *loop.Ending, done func(int)) bool {
	if d.busy {
		return false
	}
	d.ended = nil
	n := 0
	for session, name := range d.sessions {
		if ending := pick(d.front, session); ending != nil {
			n++
			d.ending = ending
			d.ended = append(d.ended, name)
		}
	}
	slices.Sort(d.ended)
	d.ended = slices.Compact(d.ended)
	go done(n)
	return true
}

// gatekeeper is a Front that can disconnect, with a clock that only the test moves.
type gatekeeper struct {
	*harness
	loops *fakeDismisser
	bans  *ban.Table
	here  *presence.Table
	now   time.Time

	failure error // of the log
}

func newGatekeeper(t *testing.T, limits httpapi.Limits) *gatekeeper {
	g := &gatekeeper{harness: newHarness(t), loops: &fakeDismisser{}, now: time.Unix(1000, 0)}
	clock := func() time.Time { return g.now }
	g.bans = ban.New(3, 3, clock)
	g.here = presence.New(presence.Config{}, func(string) bool { return true }, clock)
	g.front = httpapi.New(httpapi.Deps{Log: g.log, Hub: g.hub, Door: g.door, Workers: g.workers,
		Dismisser: g.loops, Bans: g.bans, Orders: g, Presence: g.here, Limits: limits})
	g.loops.front, g.loops.sessions = g.front, map[uint64]string{}
	for i, name := range []string{"ann", "bob", "b b", "cid", `d"an`, "eve"} {
		for j := range 3 { // connections of each
			session := uint64(1000 + 10*i + j)
			call := &loop.Call{In: []byte(get("/sse?channel=lobby&client=" + url.QueryEscape(name))), Session: session}
			if g.front.Request(call); call.Sub == nil {
				t.Fatalf("%s: %s", name, call.Out)
			}
			g.loops.sessions[session] = name
		}
	}
	return g
}

// KeepAway is an order that the log stores, or does not: Orders.
func (g *gatekeeper) KeepAway(by share.Key, clients []string, length time.Duration, done func(error)) (refused []string) {
	refused, _ = g.bans.Ban(by, clients, length)
	go done(g.failure)
	return refused
}

// Revoke is part of Orders.
func (g *gatekeeper) Revoke(*revoke.Order, func(error)) bool { panic("nobody revokes here") }

// members are those on the channel room after what is due was done.
func (g *gatekeeper) members() string {
	g.here.Tick(func(*presence.Event) error { return nil })
	var all []string
	for _, m := range g.here.List("room", "", 10).Members {
		all = append(all, m.Client)
	}
	return strings.Join(all, " ")
}

const (
	formType = "Content-Type: application/x-www-form-urlencoded\r\n"
	jsonType = "Content-Type: application/json; charset=utf-8\r\n"
)

func TestDisconnectTakesNamesFromQueryFormAndJSON(t *testing.T) {
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	for _, field := range [][2]string{{"client[0]", "ann"}, {"client[1]", "bob"}, {"for", "10m"}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	for _, c := range []struct {
		request string
		clients string
		window  time.Duration
	}{
		{post("/disconnect?client=ann", ""), "ann", time.Minute},
		{post("/disconnect?client=ann&client=bob&client=ann", ""), "ann bob", time.Minute},
		{post("/disconnect?client%5B%5D=ann&client[1]=b%20b", ""), "ann|b b", time.Minute},
		{post("/disconnect?client=ann&for=7&x=y", ""), "ann", 7 * time.Second},
		{post("/disconnect?client=ann&for=24h", ""), "ann", 24 * time.Hour},
		{post("/disconnect?client=ann&for=0", ""), "ann", 0},
		{post("/disconnect", "client=ann&client[]=bob&for=5", formType), "ann bob", 5 * time.Second},
		{post("/disconnect?client=ann", "client=bob", formType), "ann bob", time.Minute},
		{post("/disconnect", parts.String(), "Content-Type: "+w.FormDataContentType()+"\r\n"), "ann bob", 10 * time.Minute},
		{post("/disconnect", `{"client":"ann"}`, jsonType), "ann", time.Minute},
		{post("/disconnect", `{"client":["ann","bob"],"for":8,"more":1}`, jsonType), "ann bob", 8 * time.Second},
		{post("/disconnect", `{"client":["ann"],"for":"9s"}`, jsonType), "ann", 9 * time.Second},
		{post("/disconnect", `{"client":"ann","for":null}`, jsonType), "ann", time.Minute},
		{post("/disconnect?client=ann", "", jsonType), "ann", time.Minute},
		{post("/disconnect?client=ann", "client=bob", "Content-Type: text/plain\r\n"), "ann", time.Minute},
	} {
		g := newGatekeeper(t, httpapi.Limits{})
		resp, body := g.answer(c.request)
		want := strings.FieldsFunc(c.clients, func(r rune) bool { return r == '|' || r == ' ' && !strings.Contains(c.clients, "|") })
		kept := len(want)
		if c.window == 0 {
			kept = 0
		}
		if resp.StatusCode != 200 || body != fmt.Sprintf(`{"disconnected":%d,"kept_away":%d}`, 3*len(want), kept) || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s\n%d %v %s", c.request, resp.StatusCode, resp.Header, body)
		}
		if slices.Sort(want); !slices.Equal(g.loops.ended, want) {
			t.Errorf("%s\nends %q, want %q", c.request, g.loops.ended, want)
		}
		for _, client := range want {
			if got := g.bans.Has([]byte(client)); got != (c.window > 0) {
				t.Errorf("%s\n%s kept away: %v", c.request, client, got)
			}
			g.now = g.now.Add(c.window - 1)
			if c.window > 0 && !g.bans.Has([]byte(client)) {
				t.Errorf("%s\n%s is back before %v", c.request, client, c.window)
			}
			g.now = g.now.Add(1)
			if g.bans.Has([]byte(client)) {
				t.Errorf("%s\n%s is not back after %v", c.request, client, c.window)
			}
			g.now = g.now.Add(-c.window)
		}
	}
}

func TestDisconnectRefusesAndDoesNothing(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	check := func(request string, status int, code string) {
		t.Helper()
		resp, body := g.answer(request)
		if resp.StatusCode != status || !strings.Contains(body, `"code":"`+code+`"`) {
			t.Errorf("%.200s\n%d %s, want %d %s", request, resp.StatusCode, body, status, code)
		}
		if (status == 429 || status == 503) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%.200s: Retry-After %q", request, resp.Header.Get("Retry-After"))
		}
		if g.loops.ended != nil || g.bans.Len() > 0 {
			t.Fatalf("%.200s\nit was done: %q, %d kept away", request, g.loops.ended, g.bans.Len())
		}
	}
	check(post("/disconnect", ""), 400, "no_client")
	check(post("/disconnect?client=", ""), 400, "no_client")
	check(post("/disconnect?channel=ann&for=3", ""), 400, "no_client")
	check(post("/disconnect", `{"client":"ann"}`), 400, "no_client") // without its type
	check(post("/disconnect", `{"client":[]}`, jsonType), 400, "no_client")
	check(post("/disconnect", `{"client":7}`, jsonType), 400, "bad_client")
	check(post("/disconnect", `{"clients":["ann"]}`, jsonType), 400, "bad_client")
	check(post("/disconnect?client=%00", ""), 400, "bad_client")
	check(post("/disconnect?client="+strings.Repeat("x", 201), ""), 400, "bad_client")
	check(post("/disconnect", `{"client":`, jsonType), 400, "bad_json")
	check(post("/disconnect", `["ann"]`, jsonType), 400, "bad_json")
	check(post("/disconnect", "x", "Content-Type: multipart/form-data\r\n"), 400, "bad_form")
	for _, window := range []string{"", "-1", "x", "1.5", "86401", "24h1s", "99999999999999999999"} {
		check(post("/disconnect?client=ann&for="+window, ""), 400, "bad_for")
	}
	check(post("/disconnect", `{"client":"ann","for":true}`, jsonType), 400, "bad_for")
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprint("client=", i))
	}
	check(post("/disconnect", strings.Join(many, "&"), formType), 400, "too_many_clients")
	check(strings.Replace(post("/disconnect?client=ann", ""), "localhost", "elsewhere.example", 1), 403, "host_not_allowed")
	check(post("/disconnect?client=ann", "", "Origin: https://elsewhere.example\r\n"), 403, "origin_not_allowed")
	resp, _ := g.answer(get("/disconnect?client=ann"))
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: %d %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

// TestDisconnectEndsConnectionsWithoutRoom: whom it cannot keep away, it names.
func TestDisconnectEndsConnectionsWithoutRoom(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	check := func(request, want, ended string) {
		t.Helper()
		g.loops.ended = nil
		resp, body := g.answer(request)
		if resp.StatusCode != 200 || body != want || strings.Join(g.loops.ended, " ") != ended {
			t.Errorf("%s\n%d %s, ended %q; want %s, ended %q", request, resp.StatusCode, body, g.loops.ended, want, ended)
		}
	}
	check(post("/disconnect?for=24h&client=ann&client=bob&client=cid&client=d%22an&client=eve", ""),
		`{"disconnected":15,"kept_away":3,"not_kept_away":["d\"an","eve"]}`, `ann bob cid d"an eve`)
	check(post("/disconnect?client=eve", ""), `{"disconnected":3,"kept_away":0,"not_kept_away":["eve"]}`, "eve")
	check(post("/disconnect?client=eve&for=0", ""), `{"disconnected":3,"kept_away":0}`, "eve")
	check(post("/disconnect?client=ann&client=eve", ""), `{"disconnected":6,"kept_away":1,"not_kept_away":["eve"]}`, "ann eve")
	g.peer = netip.MustParseAddrPort("192.0.2.1:1") // which keeps nobody away yet
	check(post("/disconnect?client=eve", ""), `{"disconnected":3,"kept_away":1}`, "eve")
}

func TestDisconnectIsRefusedWhileTooManyAreUnderWay(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	g.loops.busy = true
	resp, body := g.answer(post("/disconnect?client=ann", ""))
	if resp.StatusCode != 503 || !strings.Contains(body, `"code":"busy"`) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
}

func TestTheWindowMayBeSetToNothing(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{DisconnectWindow: -1})
	if _, body := g.answer(post("/disconnect?client=ann", "")); body != `{"disconnected":3,"kept_away":0}` || g.bans.Len() != 0 {
		t.Errorf("%s, %d kept away", body, g.bans.Len())
	}
}

func TestTheWindowHasALimit(t *testing.T) {
	for window, good := range map[time.Duration]bool{-1: true, 0: true, 24 * time.Hour: true, 24*time.Hour + 1: false} {
		if err := (httpapi.Limits{DisconnectWindow: window}).Validate(); (err == nil) != good {
			t.Errorf("%v: %v", window, err)
		}
	}
}

const handshake = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// A client that is kept away gets the refusal of its transport, until the window ends
// or a later request lifts it.
func TestWhoIsKeptAwayIsToldOnEachTransport(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	g.answer(post("/disconnect?client=ann", ""))
	c := &fakeClient{commands: true}
	check := func(away bool) {
		t.Helper()
		for _, path := range []string{"/sse?channel=room&client=ann", "/sse?client=ann&format=json&presence=1"} {
			call := g.call(get(path))
			if got := strings.HasPrefix(string(call.Out), "HTTP/1.1 204 No Content\r\n"); got != away || call.Verdict == loop.Stream == away {
				t.Errorf("%s: verdict %d, %q", path, call.Verdict, call.Out)
			}
			g.end(call)
		}
		for _, path := range []string{"/poll?channel=room&client=ann", "/poll?client=ann&format=raw"} {
			call := g.call(get(path))
			if got := strings.HasPrefix(string(call.Out), "HTTP/1.1 410 Gone\r\n") && bytes.Contains(call.Out, []byte(`{"error":{"code":"disconnected",`)); got != away || call.Verdict == loop.Park == away {
				t.Errorf("%s: verdict %d, %q", path, call.Verdict, call.Out)
			}
			g.end(call)
		}
		for _, protocol := range []string{"", "Sec-WebSocket-Protocol: peal.raw\r\n", "Sec-WebSocket-Protocol: peal.v1\r\n"} {
			call := g.call("GET /ws?client=ann HTTP/1.1\r\n" + handshake + protocol + "\r\n")
			closed := bytes.Contains(call.Out, append([]byte{4410 >> 8, 4410 & 0xff}, "disconnected: "...))
			if closed != away || call.Verdict == loop.Stream == away || !bytes.HasPrefix(call.Out, []byte("HTTP/1.1 101")) {
				t.Errorf("%q: verdict %d, %q", protocol, call.Verdict, call.Out)
			}
			g.end(call)
		}
		c.channels = nil
		got := say(t, g.harness, c, `{"id":1,"command":"subscribe","channel":"a","client":"ann"}`)
		if strings.Contains(got, `"code":"disconnected"`) != away {
			t.Errorf("subscribe: %s", got)
		}
		if c.subscribed == nil != away {
			t.Errorf("subscribed %v", c.subscribed)
		}
		if got := g.call(get("/poll?client=bob")); got.Verdict != loop.Park {
			t.Errorf("another client: %q", got.Out)
		} else {
			g.end(got)
		}
	}
	check(true)
	g.now = g.now.Add(time.Minute - 1)
	check(true)
	g.now = g.now.Add(1)
	check(false)
	g.front.Left(c.Session())

	c = &fakeClient{commands: true}
	g.answer(post("/disconnect?client=ann&for=24h", ""))
	check(true)
	g.answer(post("/disconnect?client=ann&for=0", ""))
	check(false)
}

// end tells the front that a connection which a call has named receives nothing more.
func (g *gatekeeper) end(c *loop.Call) {
	if c.Sub != nil && c.Sub.Named {
		g.front.Left(c.Session)
	}
}

func set(clients ...string) httpapi.Clients {
	all := httpapi.Clients{}
	for _, c := range clients {
		all[c] = struct{}{}
	}
	return all
}

// A connection is found by the name of its URL and by those of its channels, as
// long as it has these; whether the channels have presence or not.
func TestAConnectionIsFoundByEachOfItsNames(t *testing.T) {
	for _, listed := range []bool{true, false} {
		g := newGatekeeper(t, httpapi.Limits{})
		if !listed {
			g.front = httpapi.New(httpapi.Deps{Log: g.log, Hub: g.hub, Door: g.door, Workers: g.workers})
		}
		c := &fakeClient{commands: true}
		say(t, g.harness, c, `{"id":1,"command":"subscribe","channel":"a","client":"ann"}`)
		say(t, g.harness, c, `{"id":2,"command":"subscribe","channel":["b","room"],"client":"bob"}`)
		say(t, g.harness, c, `{"id":3,"command":"subscribe","channel":"c"}`) // ann again
		for clients, want := range map[string]bool{"ann": true, "bob": true, "x bob": true, "cid": false, "an": false} {
			if got := g.front.Dismiss(c.Session(), set(strings.Fields(clients)...)); got != want {
				t.Errorf("listed %v, %s: found %v", listed, clients, got)
			}
		}
		say(t, g.harness, c, `{"id":4,"command":"unsubscribe","channel":["b","room"]}`)
		if g.front.Dismiss(c.Session(), set("bob")) {
			t.Errorf("listed %v: found by the name of channels that it has left", listed)
		}
		if !g.front.Dismiss(c.Session(), set("ann")) {
			t.Errorf("listed %v: not found by its first name any more", listed)
		}
		g.front.Left(c.Session())
	}
}

func TestTheDisconnectedLeaveAtOnce(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	in := func(session uint64, path string) {
		call := &loop.Call{In: []byte(get(path)), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: session}
		if g.front.Request(call); call.Sub == nil {
			t.Fatalf("%s: %s", path, call.Out)
		}
	}
	in(1, "/sse?channel=room&client=ann")
	in(2, "/sse?channel=room&client=ann")
	in(3, "/sse?channel=room&client=bob")
	in(4, "/poll?channel=room&client=cid")
	in(5, "/sse?channel=room&client=dan")
	if got := g.members(); got != "ann bob cid dan" {
		t.Fatalf("members %s", got)
	}
	g.front.Left(4) // cid is between two polls
	g.front.Left(5) // dan is in its grace period
	g.answer(post("/disconnect?client=ann&client=cid", ""))
	for _, session := range []uint64{1, 2} {
		if !g.front.Dismiss(session, set("ann", "cid")) {
			t.Errorf("session %d is not found", session)
		}
		g.front.Left(session)
	}
	if g.front.Dismiss(3, set("ann", "cid")) {
		t.Error("bob is taken for another")
	}
	if got := g.members(); got != "bob cid dan" {
		t.Errorf("members %s, want ann gone", got)
	}
	if resp, _ := g.answer(get("/poll?channel=room&client=cid")); resp.StatusCode != 410 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if got := g.members(); got != "bob dan" {
		t.Errorf("members %s, want cid gone with its next poll", got)
	}
}

// The answer to a poll that is ended is the refusal, and the last of its connection.
func TestEncoderAnswersADismissedPoll(t *testing.T) {
	e := httpapi.NewEncoder(table, lineage, func(int64) int64 { return 0 }, nil)
	for _, k := range []ring.Encoding{dialect.PollRaw, dialect.PollJSON} {
		resp, body := readAnswer(t, "GET /", e.AppendAnswer(nil, k, fanout.Answer{Ended: permit.ErrDisconnected, Close: true}))
		if resp.StatusCode != 410 || !resp.Close || !strings.HasPrefix(body, `{"error":{"code":"disconnected",`) {
			t.Errorf("encoding %d: %d, closing %v, %s", k, resp.StatusCode, resp.Close, body)
		}
	}
	expired := &refusal.Error{Status: 401, Code: "token_expired", Message: "get a new one"}
	resp, body := readAnswer(t, "GET /", e.AppendAnswer(nil, dialect.PollRaw, fanout.Answer{Ended: expired, Close: true}))
	if resp.StatusCode != 401 || !strings.HasPrefix(body, `{"error":{"code":"token_expired","message":"get a new one"`) {
		t.Errorf("expired: %d, %s", resp.StatusCode, body)
	}
	head, _ := readAnswer(t, "HEAD /", e.AppendAnswer(nil, dialect.PollJSON, fanout.Answer{Ended: permit.ErrDisconnected, Close: true, HeadOnly: true}))
	if head.StatusCode != 410 || head.ContentLength < 50 {
		t.Errorf("to HEAD: %d, length %d", head.StatusCode, head.ContentLength)
	}
}

// BenchmarkDismiss is what a turn of a loop asks its front: 1,024 connections among
// 50,000 with a name.
func BenchmarkDismiss(b *testing.B) {
	const named, looks = 50_000, 1024
	h := newHarness(b)
	for session := range uint64(named) {
		in := get(fmt.Sprintf("/sse?channel=room&client=client-%d", session))
		h.front.Request(&loop.Call{In: []byte(in), Session: session})
	}
	clients := set("nobody")
	b.ResetTimer()
	for i := range b.N {
		for n := range looks {
			if h.front.Dismiss(uint64(i*looks+n)%named, clients) {
				b.Fatal("somebody is nobody")
			}
		}
	}
}

// An order that the log does not store has its effect all the same, and the response
// says that a restart undoes it.
func TestTheResponseSaysWhatIsNotDurable(t *testing.T) {
	g := newGatekeeper(t, httpapi.Limits{})
	g.failure = log.ErrStorage
	for _, c := range []struct{ path, want string }{
		{"/disconnect?client=ann", `{"disconnected":3,"kept_away":1,"not_durable":true}`},
		{"/disconnect?client=ann&for=0", `{"disconnected":3,"kept_away":0,"not_durable":true}`},
		{"/disconnect?client=a&client=ann&client=bob&client=cid", `{"disconnected":9,"kept_away":3,"not_kept_away":["cid"],"not_durable":true}`},
	} {
		g.bans.Ban(0, []string{"ann", "a"}, 0)
		if resp, body := g.answer(post(c.path, "")); resp.StatusCode != 200 || body != c.want {
			t.Errorf("%s: %d %s, want %s", c.path, resp.StatusCode, body, c.want)
		}
	}
	if !g.bans.Has([]byte("a")) {
		t.Error("it has no effect")
	}
}
