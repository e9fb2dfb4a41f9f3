package endtoend_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peal/server"
)

// disconnect asks for the end of a client, and returns how many connections it had.
func (p *peal) disconnect(query string) int {
	p.t.Helper()
	a := p.do("POST", "/disconnect?"+query, "")
	if a.status != 200 {
		p.t.Fatalf("POST /disconnect?%s: %d %s", query, a.status, a.body)
	}
	return decode[struct{ Disconnected int }](p.t, a.body).Disconnected
}

// bound is a connection to the channel room under a name; it returns how it was ended.
type bound func() string

func boundSocket(s *socket) bound {
	return func() string { return fmt.Sprint("close ", s.closed()) }
}

// binders are ways to be on the channel room under a name. What they return waits
// for the end.
var binders = map[string]func(p *peal, name string) bound{
	"raw WebSocket": func(p *peal, name string) bound {
		return boundSocket(p.dialSocket("/ws?channel=room&client="+name, nil))
	},
	"JSON WebSocket": func(p *peal, name string) bound {
		return boundSocket(p.dialSocket("/ws?format=json&channel=room&client="+name, nil))
	},
	"peal.v1 by URL": func(p *peal, name string) bound {
		return boundSocket(p.dialSocket("/ws?channel=room&client="+name, v1))
	},
	"peal.v1 by command": func(p *peal, name string) bound {
		s := p.dialSocket("/ws", v1)
		s.next() // connected
		s.send(false, `{"id":0,"command":"subscribe","channel":"elsewhere","client":"somebody-else"}`)
		s.next()
		s.send(false, fmt.Sprintf(`{"id":1,"command":"subscribe","channel":"room","client":%q}`, name))
		s.next()
		return boundSocket(s)
	},
	"SSE": func(p *peal, name string) bound {
		stream := p.events("channel=room&client=" + name).opened()
		return func() string {
			_, err := stream.tryNext()
			return fmt.Sprint("end ", err == io.EOF)
		}
	},
	"poll": func(p *peal, name string) bound {
		before := p.subscribers("room")
		ended := make(chan string, 1)
		go func() { // ends with the answer
			a, err := p.try("GET", "/poll?channel=room&client="+name, "")
			ended <- fmt.Sprintf("%d %t %v %v", a.status, a.closing, strings.HasPrefix(string(a.body), `{"error":{"code":"disconnected"`), err)
		}()
		p.awaitSubscribers("room", before+1)
		return func() string { return <-ended }
	},
}

var endOf = map[string]string{
	"raw WebSocket": "close 4410", "JSON WebSocket": "close 4410", "peal.v1 by URL": "close 4410", "peal.v1 by command": "close 4410",
	"SSE": "end true", "poll": "410 true true <nil>",
}

func TestDisconnectEndsAllConnectionsOfAClient(t *testing.T) {
	p := startPresence(t, time.Hour)
	watch := watchers["peal.v1"](p)
	watch.until("")
	bob := p.events("channel=room&client=bob").opened()
	nobody := p.dialSocket("/ws?channel=room", nil)
	ends := map[string]bound{}
	for way, bind := range binders {
		ends[way] = bind(p, "ann")
	}
	watch.until("ann bob")

	if n := p.disconnect("client=ann&client=cid"); n != len(binders) {
		t.Errorf("%d connections were ended, want %d", n, len(binders))
	}
	for way, end := range ends {
		if got := end(); got != endOf[way] {
			t.Errorf("%s ended with %s, want %s", way, got, endOf[way])
		}
	}
	watch.until("bob") // the grace period is an hour
	p.publish("room", "who is left")
	if e := bob.next(); e.data != "who is left" {
		t.Errorf("bob has %+v", e)
	}
	if f := nobody.next(); f.data != "who is left" {
		t.Errorf("who has no name has %+v", f)
	}
	if n := p.disconnect("client=ann"); n != 0 {
		t.Errorf("%d connections were ended though none is left", n)
	}
}

// An answer to HEAD has no body, and what was read behind the poll is not answered.
func TestDisconnectAnswersAHeldHeadWithoutABody(t *testing.T) {
	p := start(t)
	w := p.dial().send("HEAD /poll?channel=room&client=ann HTTP/1.1\r\n" + hostLine + "\r\n")
	p.awaitSubscribers("room", 1)
	w.send(get("/channels"))
	if n := p.disconnect("client=ann"); n != 1 {
		t.Errorf("%d connections were ended, want 1", n)
	}
	if a := w.want("HEAD", 410); !a.closing || a.header.Get("Content-Length") == "0" {
		t.Errorf("%+v", a)
	}
	w.ended("behind the answer to HEAD")
}

// Each transport has its word for "do not come back", until the window has passed or
// the client is let in again.
func TestWhoIsDisconnectedIsKeptAwayForAWhile(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.HTTP.DisconnectWindow = time.Hour })
	p.disconnect("client=ann")
	for name, protocol := range map[string]http.Header{"raw": nil, "peal.v1": v1} {
		if code := p.dialSocket("/ws?channel=room&client=ann", protocol).closed(); code != 4410 {
			t.Errorf("%s WebSocket: closed with %d", name, code)
		}
	}
	if a := p.do("GET", "/sse?channel=room&client=ann", ""); a.status != 204 {
		t.Errorf("event stream: %d %s", a.status, a.body)
	}
	if a := p.do("GET", "/poll?channel=room&client=ann", ""); a.status != 410 || !strings.Contains(string(a.body), `"disconnected"`) {
		t.Errorf("poll: %d %s", a.status, a.body)
	}
	if n := p.subscribers("room"); n != 0 {
		t.Errorf("%d subscribers were let in", n)
	}
	p.disconnect("client=ann&for=0")
	for way, bind := range binders {
		end := bind(p, "ann")
		if n := p.disconnect("client=ann&for=0"); n != 1 {
			t.Errorf("%s: let in again, %d connections, want 1", way, n)
		}
		if got := end(); got != endOf[way] {
			t.Errorf("%s ended with %s, want %s", way, got, endOf[way])
		}
	}
}

// TestDisconnectWithoutRoomEndsConnections: an address that fills the table for a
// day has half of it, and everybody's request ends connections.
func TestDisconnectWithoutRoomEndsConnections(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.DisconnectClients = 2000 })
	attacker := p.from("127.0.0.2")
	fill := func(q *peal, name string) (kept int) {
		form := "for=24h"
		for i := range 1000 {
			form += fmt.Sprintf("&client=%s-%d", name, i)
		}
		a := q.do("POST", "/disconnect", form, "Content-Type: application/x-www-form-urlencoded")
		if a.status != 200 {
			t.Fatalf("%d %.200s", a.status, a.body)
		}
		return decode[struct {
			KeptAway int `json:"kept_away"`
		}](t, a.body).KeptAway
	}
	kept := 0
	for i := range 5 {
		kept += fill(attacker, fmt.Sprint("one", i))
	}
	if kept != 1000 {
		t.Errorf("one address keeps %d clients away, want 1,000 of 2,000", kept)
	}
	check := func(q *peal, client, want string) {
		t.Helper()
		stream := q.events("client=" + client).opened()
		a := q.do("POST", "/disconnect?client="+client, "")
		if a.status != 200 || string(a.body) != want {
			t.Errorf("%d %s, want %s", a.status, a.body, want)
		}
		if _, err := stream.tryNext(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection was not ended: %v", err)
		}
	}
	check(attacker, "bob", `{"disconnected":1,"kept_away":0,"not_kept_away":["bob"]}`)
	check(p, "cid", `{"disconnected":1,"kept_away":1}`)
	for i := range 30 {
		fill(p.from(fmt.Sprint("127.0.1.", i+1)), fmt.Sprint("many", i))
	}
	check(p, "dan", `{"disconnected":1,"kept_away":1}`) // the largest gives way
	if a := p.do("GET", "/poll?client=cid", ""); a.status != 410 {
		t.Errorf("cid, whom the smallest keeps away: %d", a.status)
	}
}

// Clients come all the time while they are disconnected: when that is answered, all of
// them are gone.
func TestNobodySlipsThroughADisconnect(t *testing.T) {
	p := start(t)
	var stop atomic.Bool
	var guests sync.WaitGroup
	for i := range 8 {
		paths := []string{"/sse?channel=room&client=ann", "/poll?channel=room&timeout=1&client=ann"}
		guests.Go(func() { // ends with stop
			for !stop.Load() {
				r, err := p.client.Get(p.url + paths[i%2])
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body) // until it is ended
				_ = r.Body.Close()
			}
		})
	}
	ended := 0
	for range 30 {
		p.await("somebody is there", func() bool { return p.subscribers("room") > 0 })
		ended += p.disconnect("client=ann")
		if n := p.subscribers("room"); n != 0 {
			t.Errorf("%d are left", n)
		}
		ended += p.disconnect("client=ann&for=0") // they may come again
	}
	stop.Store(true)
	p.disconnect("client=ann")
	guests.Wait()
	if ended < 30 {
		t.Errorf("%d connections were ended in 30 rounds", ended)
	}
}

// One client with many connections, on all loops.
func TestDisconnectAClientWithManyConnections(t *testing.T) {
	const many = 2000
	p := start(t)
	var wires []*wire
	for range many {
		wires = append(wires, p.dial().send(get("/sse?channel=room&client=ann")))
	}
	p.awaitSubscribers("room", many)
	if n := p.disconnect("client=ann"); n != many {
		t.Errorf("%d connections were ended, want %d", n, many)
	}
	if n := p.subscribers("room"); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
	for _, w := range wires {
		if _, err := io.Copy(io.Discard, w.r); err != nil {
			t.Fatalf("not a clean end: %v", err)
		}
	}
}

// keptAway wants a client to be refused, or not.
func (p *peal) keptAway(client string, want bool) {
	p.t.Helper()
	a := p.do("GET", "/poll?channel=room&cursor=earliest&timeout=1&client="+client, "")
	if got := a.status == 410 && strings.Contains(string(a.body), `"code":"disconnected"`); got != want || !got && a.status != 200 {
		p.t.Errorf("%s is kept away: %v, want %v: %d %s", client, got, want, a.status, a.body)
	}
}

// killed ends the server by kill -9.
func (p *peal) killed() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.exitCode()
	p.client.CloseIdleConnections()
}

// With the log in files a client stays away for the rest of its window, whatever
// ends the server, and also after the log has removed the order.
func TestTheDisconnectedStayAwayAfterAKill(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--listen", "127.0.0.1:0", "--log", "file:" + dir, "--fsync", "always", "--log-segment-bytes", "64KiB", "--log-bytes", "256KiB"}
	p := launch(t, flags...)
	before := p.publish("room", "before")
	p.disconnect("client=ann&for=10m")
	p.disconnect("client=bob&client=cid&for=10m")
	p.disconnect("client=bob&for=0") // the last word holds
	p.publish("room", "after")
	if a := p.poll("channel=room&cursor=" + before); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"after"}) {
		t.Errorf("orders are among the messages: %+v", a)
	}
	check := func(when string) {
		t.Helper()
		for client, away := range map[string]bool{"ann": true, "bob": false, "cid": true, "dan": false} {
			p.keptAway(client, away)
		}
		if t.Failed() {
			t.Fatal(when)
		}
	}
	check("at once")
	p.killed()
	p = launch(t, flags...)
	check("after a kill")
	if a := p.poll("channel=room&cursor=" + before); len(a.Gap) != 0 || !slices.Equal(a.texts(), []string{"after"}) {
		t.Errorf("orders are among the messages: %+v", a)
	}
	for range 100 {
		p.publish("other", strings.Repeat("x", 10_000))
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) == 0 || strings.HasSuffix(segments[0], "/00000000000000000001.log") {
		t.Fatalf("%q, %v: the segment of the orders is still there", segments, err)
	}
	p.killed()
	p = launch(t, flags...)
	check("after retention has removed the orders")
	p.disconnect("client=ann&for=0")
	p.keptAway("ann", false)
	p.ended()
	p = launch(t, flags...)
	p.keptAway("ann", false)
	p.keptAway("cid", true)
	p.ended()
}
