package endtoend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Channels that stand at different cursors meet on one stream, and part again.
func testClientChangesTransport(t *testing.T, r *clientRig) {
	r.p.publish("c", "first")
	r.p.publish("c", "second")
	r.live("")
	said := chat(t, r.p, "a", "b")
	for n, step := range []struct {
		faults faults
		live   string
	}{
		{faults{noUpgrades: true}, "sse"},
		{faults{noUpgrades: true, buffered: true}, "poll"},
		{faults{}, "ws"},
	} {
		said.more()
		r.evaluate(fmt.Sprintf(`listen('c', {last: 1}, 'c%d').unsubscribe(); 0`, n))
		r.evaluate(fmt.Sprintf(`quick = %t; 0`, n >= 1))
		r.proxy.set(step.faults)
		r.until(`states.at(-1) === 'live ` + step.live + `'`)
	}
	r.evaluate(`listen('c', {last: 1}); 0`)
	r.until(`has('c', 'second')`)
	r.settle(t, said)
	if got := r.list("c"); len(got) != 1 {
		t.Errorf("the newest message of c is %q", got)
	}
	// A WebSocket that works again takes over from what is worse.
	if got := r.evaluate(`states.filter(s => s.startsWith('live')).join()`); !strings.HasPrefix(got, "live ws,live sse,live poll,") {
		t.Errorf("it was live as %s", got)
	}
}

// The server is killed and comes back with an empty log: a gap on each channel,
// once, then all that is new.
func testClientRestart(t *testing.T, browser *chromium) {
	for _, transport := range []string{"ws", "sse", "poll"} {
		t.Run(transport, func(t *testing.T) {
			p := launch(t, "--listen", "127.0.0.1:0")
			r := newClientRig(t, p, browser)
			r.live("{transports: ['" + transport + "']}")
			said := chat(t, p, "a", "b")
			said.more()
			p.signal(syscall.SIGKILL)
			said.stop()
			p.exitCode()
			r.until(`channelStates.a.at(-1) === 'waiting network'`)
			r.p = launch(t, "--listen", p.addr)
			again := chat(t, r.p, "a", "b")
			again.more()
			r.until(`channelStates.a.at(-1) === 'live'`)
			again.stop()
			for _, channel := range []string{"a", "b"} {
				r.p.publish(channel, "end")
				r.until("has('" + channel + "', 'end')")
				got := r.list(channel)
				cut := slices.Index(got, "gap unknown_cursor")
				if cut < 0 {
					t.Fatalf("%s: no gap in %q", channel, got)
				}
				if before := said.sent[channel]; cut > len(before)+1 || !slices.Equal(got[:min(cut, len(before))], before[:min(cut, len(before))]) {
					t.Errorf("%s before the gap: %s", channel, difference(got[:cut], before))
				}
				if want := append(slices.Clone(again.sent[channel]), "end"); !slices.Equal(got[cut+1:], want) {
					t.Errorf("%s after the gap: %s", channel, difference(got[cut+1:], want))
				}
			}
		})
	}
}

// While it waits, a page that is shown again, and a network that is back, make
// it connect at once: the timer for that never fires here.
func testClientWakes(t *testing.T, r *clientRig, browser *chromium) {
	r.live("")
	said := chat(t, r.p, "a", "b")
	for _, wake := range []func(){
		func() {
			other := browser.tab(t, r.page)
			other.do("Page.bringToFront", nil)
			r.until(`document.hidden`)
			r.proxy.set(faults{})
			r.do("Page.bringToFront", nil)
			r.until(`!document.hidden`)
			other.closeTab()
		},
		func() {
			network := map[string]any{"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
			r.do("Network.enable", nil)
			r.do("Network.emulateNetworkConditions", network)
			r.until(`!navigator.onLine`)
			r.proxy.set(faults{})
			network["offline"] = false
			r.do("Network.emulateNetworkConditions", network)
			r.until(`navigator.onLine`)
		},
	} {
		said.more()
		r.evaluate(`frozen = true; 0`)
		r.proxy.set(faults{down: true})
		r.until(`states.at(-1) === 'waiting network'`)
		wake()
		r.until(`states.at(-1) === 'live ws'`)
		r.evaluate(`frozen = false; 0`)
	}
	r.settle(t, said)
}

// What is published while nothing works is sent when it does, in order.
func testClientPublishes(t *testing.T, r *clientRig) {
	r.live("{publishQueue: 12}")
	for _, f := range []faults{{}, {noUpgrades: true}, {noUpgrades: true, buffered: true}} {
		r.evaluate(`got.a.length = 0; frozen = true; 0`)
		r.proxy.set(faults{down: true})
		r.until(`states.at(-1) === 'waiting network'`)
		r.evaluate(`window.answers = Promise.allSettled(Array.from({length: 13}, (_, n) => client.publish('a', n === 3 ? {n} : String(n)))); 0`)
		r.proxy.set(f)
		r.evaluate(`frozen = false; dispatchEvent(new Event('online')); 0`)
		answers := r.evaluate(`answers.then(list => list.map(a => a.reason?.code ?? (a.value.cursor ? 'ok' : '?')).join())`)
		if want := strings.Repeat("ok,", 12) + "queue_full"; answers != want {
			t.Errorf("%+v: publications are answered %s", f, answers)
		}
		r.until(`got.a.length >= 12`)
		if got := strings.Join(r.list("a"), ","); got != `0,1,2,{"n":3},4,5,6,7,8,9,10,11` {
			t.Errorf("%+v: published %s", f, got)
		}
	}
	if got := r.evaluate(`client.publish('a', 'x', {event: 'open'}).catch(e => e.code)`); got != "bad_event" {
		t.Errorf("a refused publication rejects with %s", got)
	}
	got := r.evaluate(`(async () => {
		const iterator = client.channel('i', {cursor: 'earliest'});
		await client.publish('i', new Uint8Array([0, 255]), {event: 'bytes'});
		for await (const m of iterator) return [m.channel, m.event, m.data instanceof Uint8Array, m.data.join()].join();
	})()`)
	if got != "i,bytes,true,0,255" {
		t.Errorf("for await gives %s", got)
	}
	r.p.awaitSubscribers("i", 0)
}

// A token is asked for once, and used on each transport; null stops for good.
func testClientToken(t *testing.T, r *clientRig) {
	for _, transport := range []string{"poll", "sse", "ws"} { // the last one is what the page tries first from then on
		r.evaluate(`client?.close(); window.asked = 0; 0`)
		r.live(`{transports: ['` + transport + `'], getToken: async () => '` + transport + `' + ++asked}`)
		r.settle(t, chat(t, r.p, "a", "b"))
		if got := r.evaluate(`asked`); got != "1" || !r.proxy.saw(transport+"1") {
			t.Errorf("%s: %s tokens were requested, the first was sent: %t", transport, got, r.proxy.saw(transport+"1"))
		}
	}
	r.evaluate(`client.close(); states.length = 0; connect({getToken: async () => null}); listen('a'); 0`)
	r.until(`channelStates.a.at(-1) === 'stopped unauthorised'`)
	r.wantStates(t, "connecting ws", "stopped unauthorised")
	// Failing is not refusing.
	r.evaluate(`states.length = 0; asked = 0; connect({getToken: async () => { if (asked++ < 1) throw new Error('no network'); return 'x'; }}); listen('a'); 0`)
	r.until(`channelStates.a.at(-1) === 'live'`)
	r.wantStates(t, "connecting ws", "waiting network", "connecting ws", "live ws")
}

// A client knows its session on each transport, keeps it when it reconnects or changes
// the transport, and can leave itself out.
func testClientSession(t *testing.T, r *clientRig, browser *chromium) {
	other := browser.tab(t, r.page)
	defer other.closeTab()
	other.evaluate(`connect(); listen('a'); 0`)
	other.until(`channelStates.a.includes('live')`)
	for _, transport := range []string{"poll", "sse", "ws"} {
		r.evaluate(`client?.close(); 0`)
		r.live(`{transports: ['` + transport + `']}`)
		session := r.evaluate(`client.session`)
		r.evaluate(`client.publish('a', 'to others', {exclude: client.session}).then(() => client.publish('a', 'to all')); 0`)
		r.until(`has('a', 'to all')`)
		other.until(`got.a.slice(-2).join() === 'to others,to all'`)
		r.proxy.set(faults{})
		if transport != "poll" { // a browser repeats a GET by itself
			r.until(`states.slice(-3).join() === 'waiting network,connecting ` + transport + `,live ` + transport + `'`)
		}
		r.evaluate(`client.publish('a', 'to others', {exclude: '` + session + `'}).then(() => client.publish('a', 'end')); 0`)
		r.until(`has('a', 'end')`)
		if got := strings.Join(r.list("a"), ","); got != "to all,end" || len(session) != 22 || r.evaluate(`client.session`) != session {
			t.Errorf("%s: %q was %q, and has %s", transport, r.evaluate(`client.session`), session, got)
		}
	}
}

// One bad name stops that channel and no other, on each transport.
func testClientRefused(t *testing.T, r *clientRig) {
	for _, transport := range []string{"ws", "sse", "poll"} {
		r.evaluate(`client?.close(); connect({transports: ['` + transport + `']}); listen('a'); listen('$bad'); listen('b'); 0`)
		r.until(`channelStates.$bad.at(-1) === 'stopped reserved_channel'`)
		r.until(`channelStates.a.at(-1) === 'live' && channelStates.b.at(-1) === 'live'`)
		r.p.publish("a", "still "+transport)
		r.until(`has('a', 'still ` + transport + `')`)
	}
}

// The chat of clients/js/examples does what it says, also while the server is away.
func testClientExample(t *testing.T, p *peal, browser *chromium) {
	page, err := os.ReadFile("../../clients/js/examples/chat.html")
	if err != nil {
		t.Fatal(err)
	}
	proxy := proxyTo(t, p.addr)
	page = bytes.ReplaceAll(page, []byte("http://localhost:8080"), []byte(proxy.url))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // the browser may have been ended
	}))
	defer site.Close()
	p.publish("chat", `{"name":"ann","text":"before"}`)
	c := browser.tab(t, site.URL)
	defer c.closeTab()
	c.until(`document.body.innerText.includes('live over ws') && document.body.innerText.includes('ann: before')`)
	proxy.set(faults{down: true})
	c.until(`document.body.innerText.includes('waiting, next attempt in')`)
	c.evaluate(`$('text').value = 'while away'; $('form').requestSubmit(); 0`)
	p.publish("chat", `{"name":"ann","text":"meanwhile"}`)
	proxy.set(faults{})
	c.until(`$('messages').innerText === 'ann: before\nann: meanwhile\nguest: while away'`)
}

// TestClientInNode: the same file in Node, which has no WebSocket of its own in
// version 20: each transport there is, each message once and in order.
func TestClientInNode(t *testing.T) {
	node := tool(t, "node")
	p := start(t)
	const script = `
		require('vm').runInThisContext(require('fs').readFileSync('../httpapi/page/peal.js', 'utf8'));
		(async () => {
			for (const transport of ['sse', 'poll']) {
				const peal = new Peal(process.argv[1], {transports: [transport]});
				const channels = ['a', 'b'].map(name => transport + name);
				const all = channels.map(async channel => {
					const got = [];
					for await (const m of peal.channel(channel, {cursor: 'earliest'})) if (got.push(m.data) === 10) return got.join('');
				});
				const sent = [];
				for (let n = 0; n < 10; n++) for (const channel of channels) sent.push(peal.publish(channel, n));
				await Promise.all(sent);
				console.log(...await Promise.all(all), peal.transport);
				peal.close();
			}
		})();`
	out, err := exec.CommandContext(t.Context(), node, "-e", script, p.url).CombinedOutput()
	if want := "0123456789 0123456789 sse\n0123456789 0123456789 poll\n"; err != nil || string(out) != want {
		t.Errorf("node says %q, %v; want %q", out, err, want)
	}
}

// Three tabs have one connection between them; when the leading one ends, the
// next one leads, and the last follows it, each where it was.
func testClientTabs(t *testing.T, r *clientRig, browser *chromium) {
	first := browser.tab(t, r.page)
	first.evaluate(`connect({share: Peal.share}); listen('a'); 0`)
	first.until(`states.at(-1) === 'live ws' && channelStates.a.includes('live')`)
	said := chat(t, r.p, "a", "b")
	r.live("{share: Peal.share}")
	if got := r.evaluate(`states.at(-1)`); got != "live tab" {
		t.Errorf("the second tab is %s", got)
	}
	third := browser.tab(t, r.page)
	defer third.closeTab()
	third.evaluate(`connect({share: Peal.share}); listen('a', {cursor: 'earliest'}); 0`)
	third.until(`states.at(-1) === 'live tab' && channelStates.a.includes('live')`)
	r.evaluate(`listen('all', {cursor: 'earliest'}); client.publish('all', 'from the second tab'); 0`)
	r.until(`has('all', 'from the second tab')`)
	said.more()
	if n := r.proxy.count(); n != 1 {
		t.Errorf("%d WebSockets for three tabs", n)
	}
	begun := r.list("a")
	r.proxy.set(faults{}) // the leader's connection is cut, and comes back
	r.until(`channelStates.a.slice(-2).join() === 'waiting network,live'`)
	// A late subscriber of a channel that is there begins further back.
	r.evaluate(`listen('a', {cursor: 'earliest'}, 'late'); 0`)
	r.until(`got.late.length > ` + fmt.Sprint(len(begun)))
	said.more()
	first.closeTab()
	r.until(`states.at(-1) === 'live ws'`)
	said.more()
	said.stop()
	r.p.publish("a", "end")
	r.until(`has('a', 'end') && has('late', 'end')`)
	all := append(slices.Clone(said.sent["a"]), "end")
	if got := r.list("late"); !slices.Equal(got, all) {
		t.Errorf("from the beginning: %s", difference(got, all))
	}
	third.until(`has('a', 'end') && states.at(-1) === 'live tab'`)
	if got := decode[[]string](t, []byte(third.evaluate(`JSON.stringify(got.a)`))); !slices.Equal(got, all) {
		t.Errorf("the third tab: %s", difference(got, all))
	}
	got := r.list("a")
	if from := slices.Index(all, got[0]); !slices.Equal(got, all[max(0, from):]) {
		t.Errorf("from when it began: %s", difference(got, all[max(0, from):]))
	}
	if b, err := json.Marshal(begun); err != nil || len(begun) == 0 {
		t.Errorf("nothing came before the leader's connection was cut: %s %v", b, err)
	}
}
