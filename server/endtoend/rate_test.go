package endtoend_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/rate"
	"peal/server/rules"
	"peal/server/token"
)

// burst is a limit of n that brings back a token in a minute only: more than any test
// takes.
func burst(n int) rate.Limit { return rate.Limit{Count: 1, Per: time.Minute, Burst: n} }

// post sends a POST on the connection and returns the response.
func (w *wire) post(target, body string, headers ...string) answer {
	w.t.Helper()
	w.send(fmt.Sprintf("POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s", target, hostLine, strings.Join(headers, ""), len(body), body))
	return w.answer("POST")
}

// refusedByRate checks the error of a response that came too soon, which leaves the
// connection open.
func refusedByRate(t *testing.T, a answer, says string) {
	t.Helper()
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if a.status != 429 || a.closing || err != nil || seconds < 1 || seconds > 600 {
		t.Errorf("status %d, closing %v, Retry-After %q", a.status, a.closing, a.header.Get("Retry-After"))
	}
	if !strings.Contains(string(a.body), `"code":"rate_limited"`) || !strings.Contains(string(a.body), says) {
		t.Errorf("%s, want rate_limited with %q", a.body, says)
	}
}

func TestRateOfAConnectionOverHTTP(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.HTTP.Rates.Connection = burst(3) })
	w := p.dial()
	for range 3 {
		if a := w.post("/publish?channel=a", "x"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	refusedByRate(t, w.post("/publish?channel=a", "x"), "rate-connection: 1/m burst 3")
	refusedByRate(t, w.post("/publish?channel=a", "x"), "rate-connection")
	w.send("GET /channels/a HTTP/1.1\r\n"+hostLine+"\r\n").want("GET", 200) // the connection goes on, and queries do not count
	if a := p.dial().post("/publish?channel=a", "x"); a.status != 200 {
		t.Errorf("another connection: %d %s", a.status, a.body)
	}
}

func TestRateOfABatch(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.HTTP.Rates.Connection = burst(4)
		c.Channels = []rules.Rule{{Match: "big", MessageBytes: 1}}
	})
	w := p.dial()
	message := func(channel, data string) string { return fmt.Sprintf(`{"channel":%s,"data":%q}`, channel, data) }
	batch := func(messages ...string) (codes []string) {
		t.Helper()
		a := w.post("/publish/batch", `{"messages":[`+strings.Join(messages, ",")+`]}`)
		var got struct {
			Results []struct {
				Error *struct{ Code, Message string }
			}
		}
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 {
			t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		for _, r := range got.Results {
			code := ""
			if r.Error != nil {
				code = r.Error.Code
			}
			codes = append(codes, code)
		}
		return codes
	}
	// A message on two channels counts twice. Behind the first that came too soon, none is
	// published, even if it needs less.
	got := batch(message(`"a"`, "1"), message(`["a","b"]`, "2"), message(`"big"`, "too much"), message(`"a"`, "3"), message(`"c"`, "4"))
	if want := []string{"", "", "message_too_large", "rate_limited", "rate_limited"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	refusedByRate(t, w.post("/publish", "x"), "rate-connection") // the batch has used the connection's
	w = p.dial()
	got = batch(message(`"a"`, "1"), message(`["a","b","c","d"]`, "2"), message(`"c"`, "3"))
	if want := []string{"", "rate_limited", "rate_limited"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q: the third would overtake the second", got, want)
	}
	if a := w.post("/publish", "x"); a.status != 200 {
		t.Errorf("%d %s: a message that was refused took tokens", a.status, a.body)
	}
}

func TestRateOfARawWebSocket(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.HTTP.Rates.Connection = burst(2) })
	s := p.dialSocket("/ws?channel=a", nil)
	for i := range 2 {
		s.send(false, fmt.Sprint(i))
		if got := s.next(); got.data != fmt.Sprint(i) {
			t.Errorf("got %q", got.data)
		}
	}
	s.send(false, "2")
	if code := s.closed(); code != 4429 {
		t.Errorf("closed with %d, want 4429 (%v)", code, s.err)
	}
	if !strings.Contains(s.err.Error(), "rate-connection: 1/m burst 2") {
		t.Errorf("reason %q", s.err)
	}
	again := p.dialSocket("/ws?channel=a", nil)
	again.send(false, "x")
	if got := again.next(); got.data != "x" {
		t.Errorf("got %q", got.data)
	}
}

func TestRateOfCommands(t *testing.T) {
	p := startWith(t, func(c *server.Config) { c.HTTP.Rates.Connection = burst(6) })
	s := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	s.next() // connected
	id := 0
	command := func(text string) (code string) {
		t.Helper()
		id++
		s.send(false, fmt.Sprintf(`{"id":%d,%s}`, id, text))
		var reply struct {
			ID    int
			Error *struct{ Code, Message string }
		}
		for reply.ID != id { // messages come between
			reply.ID = 0
			if err := json.Unmarshal([]byte(s.next().data), &reply); err != nil {
				t.Fatal(err)
			}
		}
		if reply.Error == nil {
			return ""
		}
		if !strings.Contains(reply.Error.Message, "rate-connection: 1/m burst 6): try again in") {
			t.Errorf("%s: %q", text, reply.Error.Message)
		}
		return reply.Error.Code
	}
	for _, text := range []string{
		`"command":"subscribe","channel":["a","b"]`, // 1
		`"command":"ping"`,
		`"command":"publish","channel":["a","b","c"],"data":"x"`, // 4
		`"command":"history","channel":"a"`,                      // 5
		`"command":"unsubscribe","channel":"b"`,
		`"command":"presence","channel":"a"`, // 6
		`"command":"ping"`,
	} {
		if code := command(text); code != "" {
			t.Errorf("%s: %s", text, code)
		}
	}
	for _, text := range []string{`"command":"subscribe","channel":"c"`, `"command":"history","channel":"a"`, `"command":"presence","channel":"a"`, `"command":"publish","channel":"a","data":"x"`} {
		if code := command(text); code != "rate_limited" {
			t.Errorf("%s: %q, want rate_limited", text, code)
		}
	}
	if code := command(`"command":"unsubscribe","channel":"a"`); code != "" {
		t.Errorf("unsubscribe: %s", code)
	}
	if code := command(`"command":"ping"`); code != "" {
		t.Errorf("ping: %s: the connection stays", code)
	}
}

// A key has one bucket on all of its connections and transports, and that of its
// connections does not matter.
func TestRateOfAKey(t *testing.T) {
	var keys, authorizations []string
	p := startWith(t, func(c *server.Config) {
		c.HTTP.Rates.Connection, c.HTTP.Rates.Key = burst(1), burst(5)
		c.Channels = []rules.Rule{{Match: "chat.*", Rate: burst(1)}}
		for _, name := range []string{"shop", "blog"} {
			key, err := apikey.Create(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			keys, authorizations = append(keys, key), append(authorizations, "Authorization: Bearer "+key+"\r\n")
			c.Keys = append(c.Keys, apikey.Definition{Name: name, Digest: apikey.Digest(key), Allow: []string{"publish"}})
		}
	})
	for range 3 {
		if a := p.dial().post("/publish?channel=chat.1", "x", authorizations[0]); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	s := p.dialSocket("/ws?channel=a", http.Header{"Authorization": {"Bearer " + keys[0]}})
	for range 2 {
		s.send(false, "x")
		s.next()
	}
	s.send(false, "x")
	if code := s.closed(); code != 4429 || !strings.Contains(s.err.Error(), "rate-key: 1/m burst 5") {
		t.Errorf("closed with %d, %v", code, s.err)
	}
	w := p.dial()
	refusedByRate(t, w.post("/publish?channel=a", "x", authorizations[0]), "rate-key")
	refusedByRate(t, w.post("/publish?channel=chat.1", "x", authorizations[0]), "rate-key")
	for range 5 { // the other key, on the same connection
		if a := w.post("/publish?channel=a", "x", authorizations[1]); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := w.post("/publish?channel=a", "x"); a.status != 200 {
		t.Errorf("without a key: %d %s: the requests with keys used the connection's rate", a.status, a.body)
	}
	refusedByRate(t, w.post("/publish?channel=a", "x"), "rate-connection")
}

func TestRateOfAChannelRule(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.HTTP.Rates.Connection = burst(1)
		c.Channels = []rules.Rule{{Match: "chat.*", Rate: burst(3)}, {Match: "free", Rate: rate.Off}}
	})
	w := p.dial()
	for _, channel := range []string{"chat.1", "chat.2"} {
		for range 3 {
			if a := w.post("/publish?channel="+channel, "x"); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		refusedByRate(t, w.post("/publish?channel="+channel, "x"), "rate of its channel rule: 1/m burst 3")
	}
	for range 20 {
		if a := w.post("/publish?channel=free", "x"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := w.post("/publish?channel=other", "x"); a.status != 200 {
		t.Errorf("%d %s: the rule's channels used the connection's rate", a.status, a.body)
	}
	refusedByRate(t, w.post("/publish?channel=other", "x"), "rate-connection")
}

const userSecret = "a secret of at least thirty-two bytes"

// userToken returns the token of a user who may do everything on the channels of clients.
func userToken(t *testing.T, sub string) string {
	t.Helper()
	all := []string{"*"}
	text, err := token.Sign(userSecret, token.Claims{Subject: sub, Subscribe: all, Publish: all, Presence: all, Issued: time.Now(), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A user has one bucket on all of its connections and transports, beside those of the
// connections.
func TestRateOfAUser(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Auth, c.Token.Secrets = server.AuthToken, []string{userSecret}
		c.HTTP.Rates.Connection, c.HTTP.Rates.User = burst(4), burst(6)
		c.Channels = []rules.Rule{{Match: "chat.*", Rate: burst(2)}}
	})
	ann, bob := userToken(t, "ann"), userToken(t, "bob")
	bearer := func(text string) string { return "Authorization: Bearer " + text + "\r\n" }
	w := p.dial()
	for range 3 {
		if a := w.post("/publish?channel=a", "x", bearer(ann)); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	s := p.dialSocket("/ws?channel=a", http.Header{"Sec-Websocket-Protocol": {"peal.raw, peal.token." + ann}})
	for range 3 {
		s.send(false, "x")
		s.next()
	}
	s.send(false, "x")
	if code := s.closed(); code != 4429 || !strings.Contains(s.err.Error(), "rate-user: 1/m burst 6") {
		t.Errorf("closed with %d, %v", code, s.err)
	}
	for range 2 { // the rate of the rule is the user's, too
		if a := p.dial().post("/publish?channel=chat.1", "x", bearer(ann)); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	refusedByRate(t, p.dial().post("/publish?channel=chat.1", "x", bearer(ann)), "channel rule")
	refusedByRate(t, p.dial().post("/publish?channel=a", "x", bearer(ann)), "rate-user")
	if a := w.post("/publish?channel=a", "x", bearer(bob)); a.status != 200 { // the fourth of the connection
		t.Errorf("another user: %d %s", a.status, a.body)
	}
	refusedByRate(t, w.post("/publish?channel=a", "x", bearer(bob)), "rate-connection")
	if a := w.post("/publish?channel=a", "x"); a.status != 401 { // what is not granted does not count
		t.Errorf("without a token: %d %s", a.status, a.body)
	}
}
