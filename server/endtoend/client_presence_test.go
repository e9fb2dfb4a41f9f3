package endtoend_test

import (
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
)

// TestClientPresence is about the client with presence, peal-presence.js.
func TestClientPresence(t *testing.T) {
	tool(t, "chromium")
	t.Parallel() // it waits most of the time
	browser := browse(t, "about:blank")
	rig := func(t *testing.T) *clientRig {
		r := newClientRig(t, startWith(t, func(c *server.Config) {
			c.Presence.Grace = 300 * time.Millisecond
			c.Channels = []rules.Rule{{Match: "quiet*", Presence: rules.No}}
		}), browser)
		r.page += "/presence"
		r.do("Page.navigate", map[string]any{"url": r.page})
		r.until(`document.readyState === 'complete' && location.pathname === '/presence'`)
		return r
	}
	for _, transport := range []string{"ws", "sse", "poll"} {
		t.Run(transport, func(t *testing.T) { testClientPresence(t, rig(t), transport) })
	}
	for _, transport := range []string{"ws", "sse", "poll"} {
		t.Run("Disconnected/"+transport, func(t *testing.T) { testClientDisconnected(t, rig(t), transport) })
	}
	t.Run("ChangesTransport", func(t *testing.T) { testClientPresenceMoves(t, rig(t)) })
	t.Run("Tabs", func(t *testing.T) { testClientPresenceTabs(t, rig(t), browser) })
	t.Run("Without", func(t *testing.T) {
		r := newClientRig(t, start(t), browser)
		got := r.evaluate(`connect(); (async () => {
			try { client.subscribe('room', {onPresence: () => {}}); } catch (e) { return e.code + ' ' + e.message; }
		})()`)
		if got != "no_presence take peal-presence.js" {
			t.Errorf("the client without presence says %q", got)
		}
	})
}

// awaitMembers waits until the page knows that these are on the channel: "ann bob=Info".
func (r *clientRig) awaitMembers(channel, want string) {
	r.t.Helper()
	r.until("members('" + channel + "') === '" + want + "'")
}

func testClientPresence(t *testing.T, r *clientRig, transport string) {
	enter := guests["raw WebSocket"]
	r.evaluate("connect({transports: ['" + transport + "'], client: 'me', info: 'Me & co'}); listen('a'); listen('b'); listen('quiet'); 0")
	r.until(`channelStates.a.includes('live')`)
	said := chat(t, r.p, "a", "b")
	said.more()
	r.evaluate("watch('room'); 0")
	r.awaitMembers("room", "me=Me & co")
	leave := enter(r.p, "ann&info=Ann")
	r.awaitMembers("room", "ann=Ann me=Me & co")
	leave()
	r.awaitMembers("room", "me=Me & co")

	// Wanted late, on channels that are received already.
	r.evaluate("watch('a'); watch('room'); 0")
	r.awaitMembers("a", "me=Me & co")
	if got := r.evaluate(`client.presence('room', {limit: 1}).then(p => [p.channel, p.count, p.members[0].client, p.next].join())`); got != "room,1,me," {
		t.Errorf("the list is %s", got)
	}

	// While it is away somebody leaves and somebody comes.
	leave = enter(r.p, "bob")
	r.awaitMembers("room", "bob me=Me & co")
	r.proxy.set(faults{down: true})
	r.until(`states.at(-1).startsWith('waiting')`)
	leave()
	enter(r.p, "carl")
	said.more()
	r.proxy.set(faults{})
	r.awaitMembers("room", "carl me=Me & co")

	// A channel without presence stops where it is asked for, and is received where not.
	r.evaluate("watch('quiet.too'); 0")
	r.until(`channelStates['quiet.too'].at(-1) === 'stopped presence_off'`)
	r.p.publish("quiet", "still")
	r.until(`has('quiet', 'still')`)
	r.settle(t, said)
	if got := r.evaluate(`states.at(-1)`); got != "live "+transport {
		t.Errorf("the client is %s", got)
	}
	if got := r.evaluate(`got.a.concat(got.b).filter(m => m.startsWith('gap')).join()`); got != "" {
		t.Errorf("gaps of presence are reported as %s", got)
	}
}

// The list stays right from one transport to the next, whoever comes meanwhile.
func testClientPresenceMoves(t *testing.T, r *clientRig) {
	enter := guests["raw WebSocket"]
	r.evaluate("connect({client: 'me'}); watch('room'); 0")
	r.awaitMembers("room", "me")
	var leave func()
	want := "me"
	for _, step := range []struct {
		faults faults
		live   string
		comes  string
	}{
		{faults{noUpgrades: true}, "sse", "ann"},
		{faults{noUpgrades: true, buffered: true}, "poll", "bob"},
		{faults{}, "ws", "carl"},
	} {
		r.proxy.set(faults{down: true})
		r.until(`states.at(-1).startsWith('waiting')`)
		if leave != nil {
			leave()
		}
		leave = enter(r.p, step.comes)
		r.evaluate(`quick = true; 0`)
		r.proxy.set(step.faults)
		want = step.comes + " me"
		r.awaitMembers("room", want)
		r.until(`states.at(-1) === 'live ` + step.live + `'`)
		r.p.publish("room", "something")
	}
	leave()
	r.awaitMembers("room", "me")
}

// A tab that follows hears of presence from the one that leads, and goes on when that ends.
func testClientPresenceTabs(t *testing.T, r *clientRig, browser *chromium) {
	enter := guests["raw WebSocket"]
	first := browser.tab(t, r.page)
	first.evaluate(`connect({share: Peal.share, client: 'me'}); listen('room'); 0`)
	first.until(`states.at(-1) === 'live ws' && channelStates.room.includes('live')`)
	r.evaluate(`connect({share: Peal.share, client: 'me'}); watch('room'); 0`)
	r.awaitMembers("room", "me")
	if got := r.evaluate(`states.at(-1)`); got != "live tab" {
		t.Errorf("the second tab is %s", got)
	}
	leave := enter(r.p, "ann")
	r.awaitMembers("room", "ann me")
	r.evaluate(`who.room.length = 0; watch('room'); 0`)
	r.awaitMembers("room", "ann me") // once more, for who comes late
	first.closeTab()
	leave()
	r.awaitMembers("room", "me")
	r.until(`states.at(-1) === 'live ws'`)
	enter(r.p, "bob")
	r.awaitMembers("room", "bob me")
}

// Whom the backend disconnects, and who comes back too early, stops, and knows why.
func testClientDisconnected(t *testing.T, r *clientRig, transport string) {
	connect := `connect({transports: ['` + transport + `'], client: 'me'}); watch('room'); 0`
	r.evaluate(connect)
	r.awaitMembers("room", "me")
	r.p.disconnect("client=me")
	r.until(`states.at(-1) === 'stopped disconnected' && channelStates.room.at(-1) === 'stopped disconnected'`)
	r.evaluate(`states.length = 0; ` + connect)
	r.until(`states.at(-1) === 'stopped disconnected'`)
	r.p.disconnect("client=me&for=0")
	r.evaluate(connect)
	r.until(`states.at(-1) === 'live ` + transport + `'`)
}
