package httpapi_test

import (
	"slices"
	"strings"
	"testing"
)

// What a proxy, another parser or an attacker may make of a token: it counts as it was
// meant, is refused, or counts for nothing. It never counts for another one.
func TestOddFormsOfTokens(t *testing.T) {
	g := newGuarded(t, nil)
	own := "Sec-Fetch-Site: same-origin"
	const ok, none, invalid = "ok", "401 token_missing", "401 token_invalid"
	for _, c := range []struct {
		target string
		lines  []string
		want   string
	}{
		{"/poll?channel=a1", []string{"Authorization: Bearer t.o.k", "Authorization: Bearer t.o.k"}, ok},
		{"/poll?channel=a1", []string{"Authorization: Bearer t.o.k", "Authorization: Bearer peal_good"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer b.a.d", "Authorization: Bearer t.o.k"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer t.o.k", "Authorization: Basic eDp5"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer t.o.k, Bearer b.a.d"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer t.o.k b.a.d"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: Bearer\tt.o.k"}, invalid},
		{"/poll?channel=a1", []string{"Authorization: BEARER t.o.k"}, ok},
		{"/poll?channel=a1", []string{"Authorization:"}, none},
		{"/poll?channel=a1", []string{"Authorization: Bearer \"t.o.k\""}, invalid},
		{"/poll?channel=a1", []string{"Proxy-Authorization: Bearer t.o.k", "X-Authorization: Bearer t.o.k"}, none},

		{"/poll?channel=a1&token=t.o.k&token=t.o.k", nil, ok},
		{"/poll?channel=a1&token=t.o.k&token=", nil, ok},
		{"/poll?channel=a1&token=t.o.k&token=b.a.d", nil, invalid},
		{"/poll?channel=a1&token=b.a.d&token=t.o.k", nil, invalid},
		{"/poll?channel=a1&token=t%2eo%2Ek", nil, ok},
		{"/poll?channel=a1&token=t.o.k+", nil, invalid},
		{"/poll?channel=a1&%74oken=t.o.k", nil, none}, // encoded, the name is none of Peal's
		{"/poll?channel=a1&Token=t.o.k", nil, none},
		{"/poll?channel=a1&token%3Dt.o.k", nil, none},
		{"/poll?channel=a1&xtoken=t.o.k", nil, none},
		{"/poll?channel=a1&token[]=t.o.k", nil, none},
		{"/poll?channel=a1;token=t.o.k", nil, none},
		{"/poll?channel=a1&token=peal_good", nil, "401 key_misplaced"},
		{"/poll?channel=a1#token=t.o.k", nil, "400 bad_request"},

		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", own}, ok},
		{"/poll?channel=a1", []string{`Cookie: peal_token="t.o.k"`, own}, ok},
		{"/poll?channel=a1", []string{"Cookie: a=b; peal_token=t.o.k; peal_token=t.o.k", own}, ok},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k; peal_token=b.a.d", own}, invalid},
		{"/poll?channel=a1", []string{"Cookie: peal_token=b.a.d; peal_token=t.o.k", own}, invalid},
		{"/poll?channel=a1", []string{"Cookie: peal_token=b.a.d", "Cookie: peal_token=t.o.k", own}, invalid},
		{"/poll?channel=a1", []string{"Cookie: Peal_Token=t.o.k", own}, none},
		{"/poll?channel=a1", []string{"Cookie: x=peal_token=t.o.k", own}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=peal_good", own}, "401 key_misplaced"},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Sec-Fetch-Site: cross-site"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Sec-Fetch-Site: same-site"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Sec-Fetch-Site: cross-site", "Referer: http://localhost/"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Referer: http://localhost.evil.example/"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Referer: http://evil.example/http://localhost/"}, none},
		{"/poll?channel=a1", []string{"Cookie: peal_token=t.o.k", "Referer: http://localhost@evil.example/"}, none},

		// Only a handshake has subprotocols.
		{"/poll?channel=a1", []string{"Sec-WebSocket-Protocol: peal.v1, peal.token.t.o.k"}, none},

		// The first place counts, whatever the others have.
		{"/poll?channel=a1&token=b.a.d", []string{"Authorization: Bearer t.o.k", "Cookie: peal_token=b.a.d", own}, ok},
		{"/poll?channel=a1&token=t.o.k", []string{"Authorization: Bearer b.a.d"}, invalid},
		{"/poll?channel=a1&token=b.a.d", []string{"Cookie: peal_token=t.o.k", own}, invalid},
	} {
		if got := g.outcome(with(c.target, c.lines...)); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.target, c.lines, got, c.want)
		}
	}
	for list, want := range map[string]string{
		"peal.raw, peal.token.t.o.k":                         ok,
		"peal.token.t.o.k, peal.raw":                         ok,
		"peal.raw, peal.token.t.o.k, peal.token.t.o.k":       ok,
		"peal.raw, peal.token.t.o.k, peal.token.b.a.d":       "4401 token_invalid",
		"peal.raw, peal.token.b.a.d, peal.token.t.o.k":       "4401 token_invalid",
		"peal.raw, Peal.Token.t.o.k":                         "4401 token_missing",
		"peal.raw, peal.token.":                              "4401 token_missing",
		"peal.raw, peal.token.t%2eo%2ek":                     "4401 token_invalid",
		"peal.raw, peal.token.peal_good":                     "4401 key_misplaced",
		"peal.raw, x.peal.token.t.o.k":                       "4401 token_missing",
		"peal.raw, peal.token." + strings.Repeat("x", 7<<10): "4401 token_invalid",
	} {
		if got := g.outcome(webSocket("/ws?channel=a1", "Sec-WebSocket-Protocol: "+list)); got != want {
			t.Errorf("%.80s: %s, want %s", list, got, want)
		}
	}
	// A WebSocket whose handshake is wrong opens nothing, with or without a token.
	for _, lines := range [][]string{slices.Clip(upgradeLines[:3]), slices.Clip(upgradeLines[:2]), {upgradeLines[1]}} {
		if got := g.outcome(with("/ws?channel=a1", append(lines, "Authorization: Bearer t.o.k")...)); got == ok {
			t.Errorf("%q opens a WebSocket", lines)
		}
	}
}

// A token counts for its request only: the next one on the connection is anonymous
// again, or that of another client.
func TestATokenCountsForOneRequest(t *testing.T) {
	g := newGuarded(t, nil)
	for _, c := range []struct{ in, want string }{
		{with("/channels/a1/history", "Authorization: Bearer t.o.k"), "ok"},
		{get("/channels/a1/history"), "401 token_missing"},
		{with("/channels/$me/history", "Authorization: Bearer t.o.k"), "ok"},
		{get("/channels/$me/history"), "401 token_missing"},
		{with("/channels/$me/history", "Authorization: Bearer peal_good"), "401 token_missing"},
		{with("/channels", "Authorization: Bearer peal_good"), "ok"},
		{with("/channels", "Authorization: Bearer t.o.k"), "403 backend_only"},
		{with("/channels", "Authorization: Bearer b.a.d"), "401 token_invalid"},
		{get("/channels"), "401 token_missing"},
		{get("/poll?channel=free"), "ok"},
		{with("/channels/$user:43/history", "Authorization: Bearer t.o.k"), "403 not_allowed"},
		{with("/channels/%24user:42/history", "Authorization: Bearer t.o.k"), "ok"},
		{with("/channels/$USER:42/history", "Authorization: Bearer t.o.k"), "403 reserved_channel"},
		{with("/channels/$presence:a1/history", "Authorization: Bearer peal_good"), "403 reserved_channel"},
		{with("/poll?channel=a1&channel=$me", "Authorization: Bearer t.o.k"), "ok"},
		{with("/poll?channel=a1&channel=$user:43", "Authorization: Bearer t.o.k"), "403 not_allowed"},
		{with("/poll?channel=a1&channel=b1", "Authorization: Bearer t.o.k"), "403 not_allowed"},
	} {
		if got := g.outcome(c.in); got != c.want {
			t.Errorf("%.90q: %s, want %s", c.in, got, c.want)
		}
	}
}
