package endtoend_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/token"
)

// signingSecret signs the tokens of these tests.
var signingSecret = strings.Repeat("not a secret. ", 3)

// sign returns a token of user 42 that grants to subscribe to the patterns.
func sign(t testing.TB, lifetime time.Duration, patterns ...string) string {
	t.Helper()
	text, err := token.Sign(signingSecret, token.Claims{Subject: "42", Subscribe: patterns, Presence: patterns, Issued: time.Now(), Lifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withTokens starts a server that verifies them, without leeway, and a key that
// allows everything.
func withTokens(t testing.TB) *guarded {
	t.Helper()
	return startGuarded(t, map[string][]string{"all": {"publish", "disconnect", "revoke", "inspect"}}, func(c *server.Config) {
		c.Token.Secrets, c.Token.Leeway = []string{signingSecret}, -1
	})
}

// Every connection ends with its token, and where it can be warned it is warned before.
func TestConnectionsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	p := withTokens(t)
	short := sign(t, 4*time.Second, "a")
	header := http.Header{"Authorization": {"Bearer " + short}}
	v1 := p.dialSocket("/ws?channel=a", http.Header{"Sec-Websocket-Protocol": {"peal.v1, peal.token." + short}})
	raw := p.dialSocket("/ws?channel=a", header)
	stream := p.events("channel=a&token=" + short)
	stream.opened()

	if a := p.do("GET", "/poll?channel=a&timeout=100", "", bearer(short)); a.status != 200 && a.status != 204 {
		t.Errorf("a poll ended with %d", a.status)
	}
	a := p.do("GET", "/poll?channel=a&timeout=100", "", bearer(short))
	for ; a.status == 200 || a.status == 204; a = p.do("GET", "/poll?channel=a&timeout=100", "", bearer(short)) { // the clock was in the last second
	}
	if code := decode[problem](t, a.body).Error.Code; a.status != 401 || code != "token_expired" {
		t.Errorf("the next poll ended with %d %s", a.status, code)
	}
	if e := stream.next(); e.name != "peal.token_expires" || !strings.HasPrefix(e.data, `{"in":`) {
		t.Errorf("the stream is warned by %+v", e)
	}
	if _, err := stream.tryNext(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on: %v", err)
	}
	v1.next() // connected
	if got := v1.next().data; !strings.HasPrefix(got, `{"token_expires":{"in":`) {
		t.Errorf("peal.v1 is warned by %s", got)
	}
	for name, w := range map[string]*socket{"peal.v1": v1, "raw": raw} {
		if code := w.closed(); code != 4401 {
			t.Errorf("%s: closed with %d", name, code)
		}
	}
	if code := p.dialSocket("/ws?channel=a", header).closed(); code != 4401 {
		t.Errorf("an expired token: closed with %d", code)
	}
}

// A renewed connection outlives its first token, and misses and repeats nothing.
func TestARenewalMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	p := withTokens(t)
	short := sign(t, 4*time.Second, "a", "b")
	end := p.dialSocket("/ws?channel=a", http.Header{"Authorization": {"Bearer " + short}})
	w := p.dialSocket("/ws?channel=a&channel=b", http.Header{"Sec-Websocket-Protocol": {"peal.v1, peal.token." + short}})
	w.next() // connected
	publish := func(channel, data string) {
		t.Helper()
		if a := p.do("POST", "/publish?channel="+channel, data, bearer(p.keys["all"])); a.status != 200 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	publish("a", "1")
	w.send(false, `{"id":1,"command":"token","token":"`+sign(t, time.Hour, "a", "c")+`"}`)
	publish("a", "2")
	ended := make(chan uint16)
	go func() { ended <- end.closed() }()
	var got []string
	var reply struct {
		ID           int
		OK           bool
		Unsubscribed []string
	}
	n := 3
	for over := false; !over || len(got) < n-1; {
		select {
		case code := <-ended: // the first token has expired
			if over = true; code != 4401 {
				t.Errorf("closed with %d", code)
			}
		case f := <-w.got:
			var m struct {
				Channel, Data string
				ID            int
			}
			if err := json.Unmarshal([]byte(f.data), &m); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Channel != "":
				got = append(got, m.Channel+m.Data)
			case m.ID == 1:
				if err := json.Unmarshal([]byte(f.data), &reply); err != nil {
					t.Fatal(err)
				}
				publish("b", "lost to it")
				publish("a", "3")
				n++
			default:
				t.Errorf("received %s", f.data)
			}
		case <-w.ended:
			t.Fatalf("closed with %d", w.code)
		case <-time.After(patience):
			t.Fatal("nothing comes")
		}
	}
	if strings.Join(got, " ") != "a1 a2 a3" {
		t.Errorf("received %q", got)
	}
	if !reply.OK || strings.Join(reply.Unsubscribed, " ") != "b" {
		t.Errorf("reply %+v", reply)
	}
	w.send(false, `{"id":2,"command":"subscribe","channel":"c"}`)
	if got := w.next().data; !strings.Contains(got, `"id":2,"ok":true`) {
		t.Errorf("a channel of the new token: %s", got)
	}
}
