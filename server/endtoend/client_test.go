package endtoend_test

import (
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// clientRig is the browser client (clients/js) in a browser, before a server,
// behind a proxy with faults. The page is of another origin than the server.
type clientRig struct {
	*chromium
	p     *peal
	proxy *proxy
	page  string
	mint  func(user string) string // tokens for GET /token?user=…; "": 401
}

func newClientRig(t *testing.T, p *peal, c *chromium) *clientRig {
	t.Helper()
	r := &clientRig{p: p, proxy: proxyTo(t, p.addr)}
	page, err := template.ParseFiles("testdata/client.html")
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			token := r.mint(req.FormValue("user"))
			if token == "" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, token)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		client := "peal.js"
		if req.URL.Path == "/presence" {
			client = "peal-presence.js"
		}
		if err := page.Execute(w, struct{ Server, Client string }{r.proxy.url, client}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(site.Close)
	r.page = site.URL
	r.chromium = c.tab(t, r.page)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page has: %s", r.evaluate(`JSON.stringify({states, channelStates, got}).slice(0, 3000)`))
		}
		r.closeTab()
	})
	return r
}

// tab opens another page in the browser, which has its own name in target.
func (c *chromium) tab(t *testing.T, url string) *chromium {
	t.Helper()
	tab := &chromium{t: t, in: c.in, replies: c.replies}
	var target struct{ TargetID string }
	tab.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	tab.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	tab.page, tab.target = session.SessionID, target.TargetID
	tab.do("Page.enable", nil)
	tab.do("Page.navigate", map[string]any{"url": url})
	tab.until(`document.readyState === 'complete' && location.href !== 'about:blank'`)
	return tab
}

func (c *chromium) closeTab() {
	c.t.Helper()
	c.call("", "Target.closeTarget", map[string]any{"targetId": c.target}, nil)
}

// chatter publishes numbered messages on channels, in turn, until it is stopped.
type chatter struct {
	p        *peal
	channels []string
	mu       sync.Mutex
	sent     map[string][]string // accepted
	quit     chan struct{}
	done     sync.WaitGroup
}

func chat(t *testing.T, p *peal, channels ...string) *chatter {
	c := &chatter{p: p, channels: channels, sent: map[string][]string{}, quit: make(chan struct{})}
	c.done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-c.quit:
				return
			case <-time.After(15 * time.Millisecond): // or history would be shorter than a fault is long
			}
			channel, data := channels[n%len(channels)], fmt.Sprint(n)
			// Without an answer it may be in the log or not: the server is gone then.
			if a, err := p.try("POST", "/publish?channel="+channel, data, "Content-Type: text/plain"); err == nil && a.status == 200 {
				c.mu.Lock()
				c.sent[channel] = append(c.sent[channel], data)
				c.mu.Unlock()
			}
		}
	})
	t.Cleanup(c.stop)
	return c
}

// stop ends it and waits; it may be called again.
func (c *chatter) stop() {
	select {
	case <-c.quit:
	default:
		close(c.quit)
	}
	c.done.Wait()
}

func (c *chatter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent[c.channels[0]])
}

// more waits until some more were accepted.
func (c *chatter) more() {
	c.p.t.Helper()
	n := c.count()
	c.p.await("more publications", func() bool { return c.count() > n+5 })
}

// list returns what the page received under that name.
func (r *clientRig) list(name string) (got []string) {
	r.t.Helper()
	return decode[[]string](r.t, []byte(r.evaluate("JSON.stringify(got['"+name+"'])")))
}

// settle ends the chatter and checks that each channel has every message once
// and in order.
func (r *clientRig) settle(t *testing.T, c *chatter) {
	t.Helper()
	c.stop()
	for _, channel := range c.channels {
		r.p.publish(channel, "end")
		r.until("has('" + channel + "', 'end')")
		if got, want := r.list(channel), append(slices.Clone(c.sent[channel]), "end"); !slices.Equal(got, want) {
			t.Errorf("%s: %s", channel, difference(got, want))
		}
	}
}

func (r *clientRig) wantStates(t *testing.T, want ...string) {
	t.Helper()
	if got := decode[[]string](t, []byte(r.evaluate("JSON.stringify(states)"))); !slices.Equal(got, want) {
		t.Errorf("states are %q, want %q", got, want)
	}
}

// live connects, subscribes to a and b, and waits until both are live.
func (r *clientRig) live(options string) {
	r.t.Helper()
	r.evaluate("connect(" + options + "); listen('a'); listen('b'); 0")
	r.until(`channelStates.a.includes('live') && channelStates.b.includes('live')`)
}

// TestClient is about transports: which one, and from one to another.
func TestClient(t *testing.T) {
	tool(t, "chromium")
	t.Parallel() // it waits most of the time
	browser := browse(t, "about:blank")
	rig := func(t *testing.T) *clientRig { return newClientRig(t, start(t), browser) }

	t.Run("FallsBackAndComesBack", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			faults faults
			states []string
		}{
			{"nothing is wrong", faults{}, []string{"connecting ws", "live ws"}},
			{"upgrades refused", faults{noUpgrades: true}, []string{"connecting ws", "connecting sse", "live sse"}},
			{"upgrades unanswered, streams buffered", faults{deaf: true, buffered: true}, []string{"connecting ws", "connecting sse", "connecting poll", "live poll"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := rig(t)
				r.proxy.set(c.faults)
				r.live("")
				said := chat(t, r.p, "a", "b")
				said.more()
				r.evaluate(`listen('c'); listen('old', {cursor: 'earliest'}); 0`)
				r.until(`channelStates.c.includes('live') && channelStates.old.includes('live')`)
				said.more()
				r.settle(t, said)
				r.wantStates(t, c.states...)
				r.p.publish("c", "after")
				r.until(`has('c', 'after')`)
			})
		}
	})
	t.Run("Cut", func(t *testing.T) {
		for _, transport := range []string{"ws", "sse", "poll"} {
			t.Run(transport, func(t *testing.T) {
				r := rig(t)
				r.live("{transports: ['" + transport + "']}")
				said := chat(t, r.p, "a", "b")
				said.more()
				r.proxy.set(faults{down: true})
				r.until(`states.filter(s => s === 'waiting network').length >= 2`)
				said.more()
				// What begins meanwhile, or goes, takes part.
				r.evaluate(`listen('c', {cursor: 'earliest'}); 0`)
				r.p.publish("c", "early")
				r.proxy.set(faults{})
				r.until(`states.at(-1) === 'live ` + transport + `' && has('c', 'early')`)
				said.more()
				for range 3 { // and again, in mid-flow
					r.proxy.set(faults{})
					said.more()
				}
				r.settle(t, said)
				r.until(`channelStates.a.slice(0, 3).join() === 'live,waiting network,live'`)
			})
		}
	})
	t.Run("Compressed", func(t *testing.T) {
		for _, transport := range []string{"ws", "sse", "poll"} {
			t.Run(transport, func(t *testing.T) {
				r := newClientRig(t, compressing(t, 1), browser)
				r.live("{transports: ['" + transport + "']}")
				said := chat(t, r.p, "a", "b")
				said.more()
				r.proxy.set(faults{})
				said.more()
				r.settle(t, said)
			})
		}
	})
	t.Run("ChangesTransport", func(t *testing.T) { testClientChangesTransport(t, rig(t)) })
}

// TestClientLife is the other half, in a browser of its own beside the first.
func TestClientLife(t *testing.T) {
	tool(t, "chromium")
	t.Parallel()
	browser := browse(t, "about:blank")
	rig := func(t *testing.T) *clientRig { return newClientRig(t, start(t), browser) }
	t.Run("Restart", func(t *testing.T) { testClientRestart(t, browser) })
	t.Run("Wakes", func(t *testing.T) { testClientWakes(t, rig(t), browser) })
	t.Run("Publishes", func(t *testing.T) { testClientPublishes(t, rig(t)) })
	t.Run("SendsItsToken", func(t *testing.T) { testClientToken(t, rig(t)) })
	t.Run("LeavesItselfOut", func(t *testing.T) { testClientSession(t, rig(t), browser) })
	t.Run("Token", func(t *testing.T) { testClientTokenOfAServer(t, browser) })
	t.Run("Refused", func(t *testing.T) { testClientRefused(t, rig(t)) })
	t.Run("Example", func(t *testing.T) { testClientExample(t, start(t), browser) })
	t.Run("Tabs", func(t *testing.T) { testClientTabs(t, rig(t), browser) })
}
