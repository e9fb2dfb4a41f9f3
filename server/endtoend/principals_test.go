package endtoend_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/rules"
	"peal/server/token"
)

// A user that guesses the idempotency keys of a backend, or of another user, neither
// keeps their messages away nor learns that they were published.
func TestIdempotencyKeysOfUsersAreTheirOwn(t *testing.T) {
	t.Parallel()
	p := startGuarded(t, map[string][]string{"shop": {"publish"}, "crm": {"publish"}}, func(c *server.Config) {
		c.Token.Secrets = []string{signingSecret}
		c.Channels = []rules.Rule{{Match: "open.*", Publish: rules.Anyone}}
	})
	user := func(sub string) string {
		text, err := token.Sign(signingSecret, token.Claims{Subject: sub, Publish: []string{"orders.*", "open.*"}, Issued: time.Now(), Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ann, bob := user("ann"), user("bob")
	ways := map[string]func(channel, proof, data string) bool{
		"single": func(channel, proof, data string) (replayed bool) {
			a := p.do("POST", "/publish?idempotency_key=order-17&channel="+channel, data, bearer(proof))
			if a.status != 200 {
				t.Errorf("%s: %d %s", channel, a.status, a.body)
			}
			return a.header.Get("Idempotency-Replayed") != ""
		},
		"batch": func(channel, proof, data string) (replayed bool) {
			body := fmt.Sprintf(`{"messages":[{"channel":%q,"data":%q,"idempotency_key":"order-17"}]}`, channel, data)
			a := p.do("POST", "/publish/batch", body, bearer(proof), "Content-Type: application/json")
			results := decode[struct {
				Results []struct {
					Cursor   string
					Replayed bool
				}
			}](t, a.body).Results
			if len(results) != 1 || results[0].Cursor == "" {
				t.Fatalf("%s: %d %s", channel, a.status, a.body)
			}
			return results[0].Replayed
		},
	}
	for way, publish := range ways {
		channel := "orders." + way
		for _, c := range []struct {
			who, proof, data string
			replayed         bool
		}{
			{"ann", ann, "junk", false},
			{"shop", p.keys["shop"], "real", false},
			{"bob", bob, "junk", false},
			{"ann", ann, "junk", true},
			{"shop", p.keys["shop"], "real", true},
			{"crm", p.keys["crm"], "real", true}, // the same backend, as far as Peal knows
		} {
			if replayed := publish(channel, c.proof, c.data); replayed != c.replayed {
				t.Errorf("%s, %s with %q: replayed %v", way, c.who, c.data, replayed)
			}
		}
	}

	// On a live connection, and without a token where a rule lets anyone publish.
	w := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1, peal.token." + ann}})
	w.next() // connected
	w.send(false, `{"id":1,"command":"publish","channel":"open.1","data":"junk","idempotency_key":"k"}`)
	if reply := w.next().data; !strings.Contains(reply, `"cursor":`) {
		t.Errorf("ann: %s", reply)
	}
	for who, line := range map[string]string{"nobody": "X-None: x", "shop": bearer(p.keys["shop"])} {
		a := p.do("POST", "/publish?idempotency_key=k&channel=open.1", "of "+who, line)
		if a.status != 200 || a.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: %d %s", who, a.status, a.body)
		}
	}
}

// $me of a batch is the user's, as it is in a request for one message: refused because
// only backends publish there, and not for lack of a token.
func TestMeInABatch(t *testing.T) {
	t.Parallel()
	p := withTokens(t)
	a := p.do("POST", "/publish/batch", `{"messages":[{"channel":"$me","data":"x"}]}`, bearer(sign(t, time.Hour, "a")), "Content-Type: application/json")
	results := decode[struct{ Results []problem }](t, a.body).Results
	if len(results) != 1 || results[0].Error.Code != "backend_only" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
