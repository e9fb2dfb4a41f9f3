package endtoend_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
	"peal/server/token"
)

// minter signs tokens for the page of a rig, and counts them.
type minter struct {
	t *testing.T

	mu       sync.Mutex
	lifetime time.Duration
	channels []string // that they grant
	given    int
	refuse   bool // gives none
}

func (m *minter) mint(user string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse {
		return ""
	}
	m.given++
	text, err := token.Sign(secret, token.Claims{Subject: user, ID: fmt.Sprint(user, m.given), Subscribe: m.channels, Presence: m.channels,
		Info: `{"name":"` + user + `"}`, Issued: time.Now(), Lifetime: m.lifetime})
	if err != nil {
		m.t.Error(err)
	}
	return text
}

func (m *minter) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.given
}

func (m *minter) set(change func(m *minter)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// getToken is the option of a page for this user.
func getToken(user string) string {
	return `getToken: async () => { const r = await fetch('/token?user=` + user + `'); if (r.status === 401) return null; if (!r.ok) throw new Error(r.statusText); return r.text(); }`
}

// testClientTokenOfAServer is about tokens that a server checks: what they grant, their
// renewal, expiry and revocation, on each transport.
func testClientTokenOfAServer(t *testing.T, browser *chromium) {
	newRig := func(t *testing.T) (*clientRig, *guarded, *minter) {
		m := &minter{t: t, lifetime: time.Hour, channels: []string{"a", "b", "room"}}
		g := startGuarded(t, map[string][]string{"shop": {"publish", "revoke"}}, func(c *server.Config) {
			c.Token.Secrets, c.Token.Leeway = []string{secret}, -1
			c.Channels = []rules.Rule{{Match: "*", Publish: rules.Anyone}} // for the chatter
		})
		r := newClientRig(t, g.peal, browser)
		r.mint = m.mint
		return r, g, m
	}
	for _, transport := range []string{"ws", "sse", "poll"} {
		options := func(more string) string { return "{transports: ['" + transport + "'], " + getToken("ann") + more + "}" }
		t.Run("Expires/"+transport, func(t *testing.T) {
			r, _, m := newRig(t)
			m.set(func(m *minter) { m.lifetime = 2 * time.Second })
			r.live(options(""))
			said := chat(t, r.p, "a", "b")
			r.p.await("three tokens", func() bool { return m.count() >= 3 })
			r.settle(t, said)
			m.set(func(m *minter) { m.refuse = true })
			r.until(`states.at(-1) === 'stopped unauthorised' && channelStates.a.at(-1) === 'stopped unauthorised'`)
		})
		t.Run("Grants/"+transport, func(t *testing.T) {
			r, g, m := newRig(t)
			r.evaluate("connect(" + options("") + "); listen('a'); listen('secret'); listen('b'); listen('$me'); 0")
			r.until(`channelStates.secret.at(-1) === 'stopped not_allowed' && ['a', 'b', '$me'].every(c => channelStates[c].at(-1) === 'live')`)
			r.p.publish("a", "one")
			if a := r.p.do("POST", "/publish?user=ann", "for ann", "Content-Type: text/plain", bearer(g.keys["shop"])); a.status != 200 {
				t.Fatalf("publish to ann: %d %s", a.status, a.body)
			}
			r.until(`has('a', 'one') && has('$me', 'for ann')`)
			// Revoked: a new token, unless there is none.
			m.set(func(m *minter) { m.refuse = true })
			if a := r.p.do("POST", "/revoke?sub=ann", "", bearer(g.keys["shop"])); a.status != 200 {
				t.Fatalf("revoke: %d %s", a.status, a.body)
			}
			r.until(`states.at(-1).startsWith('stopped')`)
		})
	}
	t.Run("Renews", func(t *testing.T) {
		r, _, m := newRig(t)
		r.evaluate(`window.Watched = class extends WebSocket { constructor(...a) { super(...a); window.socket = this; } }; 0`)
		r.live("{WebSocket: Watched, " + getToken("ann") + "}")
		said := chat(t, r.p, "a", "b")
		for n := 2; n < 5; n++ {
			said.more()
			// As the server says when it is time.
			r.evaluate(`socket.onmessage({data: '{"token_expires":{"in":20}}'}); 0`)
			r.p.await("a token", func() bool { return m.count() == n })
		}
		said.more()
		m.set(func(m *minter) { m.channels = []string{"b"} })
		r.evaluate(`socket.onmessage({data: '{"token_expires":{"in":20}}'}); 0`)
		r.until(`channelStates.a.at(-1) === 'stopped not_allowed'`)
		said.more()
		said.channels = []string{"b"} // a has what it had
		r.settle(t, said)
		r.wantStates(t, "connecting ws", "live ws")
		if n := r.proxy.count(); n != 1 {
			t.Errorf("%d WebSockets for one", n)
		}
	})
	t.Run("Presence", func(t *testing.T) {
		r, _, _ := newRig(t)
		ann, bob := browser.tab(t, r.page+"/presence"), browser.tab(t, r.page+"/presence")
		defer ann.closeTab()
		defer bob.closeTab()
		ann.evaluate("connect({" + getToken("ann") + "}); watch('room'); 0")
		bob.evaluate("connect({" + getToken("bob") + "}); watch('room'); 0")
		const all = `who.room.length && members('room') === 'ann={"name":"ann"} bob={"name":"bob"}'`
		ann.until(all)
		bob.until(all)
	})
}
