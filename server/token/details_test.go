package token_test

import (
	"fmt"
	"testing"

	"peal/server/grant"
)

// Access tokens of Mercure 1.0 grant by authorization_details only, and end.
func TestAccessTokensOfMercure(t *testing.T) {
	v := verifier(t, mercureConfig())
	const header, detail = `{"alg":"HS256","typ":"at+jwt"}`, `{"type":"https://mercure.rocks/authorization-detail","actions":[%s],"topics":[%s]}`
	for _, c := range []struct {
		header, actions, topics, more string
		publish, subscribe            string // a topic that is granted, "" for none; "-" refuses the token
	}{
		{header, `"publish"`, `{"match":"a"}`, `,"exp":1700000100`, "a", ""},
		{`{"alg":"HS256","typ":"application/AT+JWT"}`, `"subscribe","fly"`, `{"match":"a","match_type":"exact"},{"match":"b"}`, `,"exp":1700000100`, "", "b"},
		{header, `"subscribe"`, `{"match":"*","match_type":"urlpattern"}`, `,"exp":1700000100`, "", "anything"},
		{header, `"fly"`, `{"match":"a"}`, `,"exp":1700000100`, "", ""},
		{header, `"publish"`, `{"match":"a/:x","match_type":"urlpattern"}`, `,"exp":1700000100,"mercure":{"publish":["a"]}`, "", ""}, // the claim of before does not count
		{header, `"publish"`, `{"match":"{x}"}`, `,"exp":1700000100`, "", ""},
		{`{"alg":"HS256","typ":"JWT"}`, `"publish"`, `{"match":"a"}`, `,"exp":1700000100`, "", ""},
		{header, `"publish"`, `{"match":"a"}`, ``, "-", ""}, // no exp
		{header, `"publish"`, `{"match":"a"}`, `,"exp":1699999000`, "-", ""},
		{header, ``, `{"match":"a"}`, `,"exp":1700000100`, "-", ""},
		{header, `"publish"`, ``, `,"exp":1700000100`, "-", ""},
		{header, `1`, `{"match":"a"}`, `,"exp":1700000100`, "-", ""},
		{header, `"publish"`, `"a"`, `,"exp":1700000100`, "-", ""},
		{header, `"publish"`, `{"match":1}`, `,"exp":1700000100`, "-", ""},
		{header, `"publish"`, `{"match":"a","match_type":"Exact"}`, `,"exp":1700000100`, "-", ""},
		{header, `"publish"`, `{"match_type":"exact"}`, `,"exp":1700000100`, "-", ""},
	} {
		payload := `{"authorization_details":[{"type":"other","actions":1},` + fmt.Sprintf(detail, c.actions, c.topics) + `]` + c.more + `}`
		g, err := v.Verify([]byte(craft(c.header, payload, secret)))
		if (err != nil) != (c.publish == "-") {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		if g == nil {
			continue
		}
		for _, topic := range []string{"a", "b", "anything", "{x}", "a/:x", "a/1"} {
			wantP, wantS := topic == c.publish, topic == c.subscribe || c.subscribe == "anything" || c.subscribe == "b" && topic == "a"
			if g.Allows(grant.Publish, topic) != wantP || g.Allows(grant.Subscribe, topic) != wantS {
				t.Errorf("%s: %q: publish %v, subscribe %v", payload, topic, !wantP, !wantS)
			}
		}
	}
}
