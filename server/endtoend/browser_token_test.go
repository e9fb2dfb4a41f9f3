package endtoend_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"peal/server/token"
)

// browserTokens is the script of the page: what each of its connections has received.
const browserTokens = `
	got = {}; streams = {};
	hear = (name, text) => (got[name] = got[name] || []).push(text);
	stream = (name, query) => {
		const s = streams[name] = new EventSource('/sse?' + query);
		s.onopen = () => hear(name, 'open');
		s.onmessage = e => hear(name, e.data);
		s.addEventListener('peal.token_expires', () => hear(name, 'expires'));
	};
	socket = (name, query, protocols) => {
		const s = streams[name] = new WebSocket('ws://' + location.host + '/ws?' + query, protocols);
		s.onopen = () => hear(name, 'open');
		s.onmessage = e => hear(name, JSON.parse(e.data).data);
		s.onclose = e => hear(name, 'closed ' + e.code);
	};
	has = (name, ...texts) => texts.every(t => (got[name] || []).filter(x => x === t).length === 1);
	0`

// What a browser does by itself with tokens: it sends cookies, cannot set headers for
// an EventSource, and reconnects.
func TestBrowserSendsTokensByItself(t *testing.T) {
	tool(t, "chromium")
	t.Parallel()
	p := withTokens(t)
	publish := func(query, data string) {
		t.Helper()
		if a := p.do("POST", "/publish?"+query, data, bearer(p.keys["all"])); a.status != 200 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	ofUser := func(user string, lifetime time.Duration) string {
		t.Helper()
		text, err := token.Sign(signingSecret, token.Claims{Subject: user, Subscribe: []string{"a"}, Issued: time.Now(), Lifetime: lifetime})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	c := browse(t, p.url+"/peal.js") // any page of the server's own origin
	c.evaluate(browserTokens)

	// Without a token an EventSource gives up for good; with one in the URL it opens.
	c.evaluate(`stream('none', 'channel=a'); 0`)
	c.until(`streams.none.readyState === 2`)
	c.evaluate(fmt.Sprintf(`stream('query', 'channel=a&token=%s'); 0`, ofUser("42", time.Hour)))
	c.until(`has('query', 'open')`)
	publish("channel=a", "one")
	c.until(`has('query', 'one')`)

	// A cookie serves all transports of the server's own pages, and a stream whose token
	// ends goes on by itself with the cookie that is there then, from where it was.
	c.evaluate(fmt.Sprintf(`document.cookie = 'peal_token=%s'; stream('cookie', 'channel=a'); socket('cookies socket', 'channel=a&format=json'); 0`, ofUser("42", 4*time.Second)))
	c.until(`has('cookie', 'open') && has('cookies socket', 'open')`)
	c.evaluate(fmt.Sprintf(`document.cookie = 'peal_token=%s'; 0`, ofUser("42", time.Hour)))
	publish("channel=a", "two")
	c.until(`has('cookie', 'two', 'expires') && has('cookies socket', 'two', 'closed 4401')`)
	publish("channel=a", "three") // while it is away, perhaps
	c.until(`has('cookie', 'two', 'three') && got.cookie.filter(x => x === 'open').length === 2`)
	if got := c.evaluate(`fetch('/poll?channel=a&cursor=earliest').then(r => r.json()).then(b => b.messages.map(m => m.data).join())`); got != "one,two,three" {
		t.Errorf("a poll with the cookie: %s", got)
	}

	// Two users on one page have nothing in common.
	c.evaluate(fmt.Sprintf(`socket('ann', 'channel=$me', ['peal.v1', 'peal.token.%s']); socket('bob', 'channel=$me', ['peal.v1', 'peal.token.%s']); 0`, ofUser("ann", time.Hour), ofUser("bob", time.Hour)))
	c.until(`has('ann', 'open') && has('bob', 'open')`)
	publish("user=ann", "for ann")
	publish("user=bob", "for bob")
	c.until(`has('ann', 'for ann') && has('bob', 'for bob')`)
	if got := c.evaluate(`got.ann.includes('for bob') || got.bob.includes('for ann')`); got != "false" {
		t.Error("a user receives the messages of another")
	}

	// Revoked tokens end what they opened, and only that. An EventSource tries once more,
	// and gives up at the 401.
	if a := p.do("POST", fmt.Sprintf("/revoke?sub=42&sub=ann&before=%d", time.Now().Unix()+60), "", bearer(p.keys["all"])); a.status != http.StatusOK {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	c.until(`has('ann', 'closed 4410') && streams.cookie.readyState === 2 && streams.query.readyState === 2`)
	publish("user=bob", "still here")
	c.until(`has('bob', 'still here')`)
}
