package permit_test

import (
	"fmt"
	"testing"

	"peal/server/auth"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/rules"
)

// scope grants the actions on channels that begin with "a".
func scope(t *testing.T, actions ...grant.Action) *grant.Scope {
	t.Helper()
	lists := map[grant.Action][]string{}
	for _, a := range actions {
		lists[a] = nil
		if a.HasChannels() {
			lists[a] = []string{"a*"}
		}
	}
	s, err := grant.NewScope(lists)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// principals are all kinds, those who have proven something with and without the
// grant of an action.
func principals(t *testing.T, a grant.Action) map[string]*grant.Grant {
	return map[string]*grant.Grant{
		"anonymous":          nil,
		"user":               {Kind: grant.User, Subject: "42", Scope: scope(t)},
		"user, granted":      {Kind: grant.User, Subject: "42", Scope: scope(t, a)},
		"other, granted":     {Kind: grant.User, Subject: "43", Scope: scope(t, a)},
		"backend":            {Kind: grant.Backend, Subject: "shop", Scope: scope(t)},
		"backend, granted":   {Kind: grant.Backend, Subject: "shop", Scope: scope(t, a)},
		"backend, all users": {Kind: grant.Backend, Subject: "shop", Scope: all(t)},
	}
}

// all grants every action on every channel.
func all(t *testing.T) *grant.Scope {
	t.Helper()
	lists := map[grant.Action][]string{}
	for _, a := range grant.Actions() {
		lists[a] = []string{"*", "$*"}
	}
	s, err := grant.NewScope(lists)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The model, said once more, in words: which principal may do what on which channel.
// An action that it does not know fails the test.
func model(open bool, a grant.Action, who string, channel string, rule rules.Who) string {
	granted := who == "user, granted" || who == "other, granted" || who == "backend, granted" || who == "backend, all users"
	backend := who == "backend" || who == "backend, granted" || who == "backend, all users"
	switch a {
	case grant.Disconnect, grant.Inspect, grant.Revoke:
		switch {
		case open && a != grant.Revoke:
			return ""
		case who == "anonymous":
			return "token_missing"
		case !backend:
			return "backend_only"
		case !granted || a == grant.Inspect && channel != "a" && who != "backend, all users":
			return "not_allowed"
		}
		return ""
	case grant.Subscribe, grant.History, grant.Presence, grant.Publish:
	default:
		return fmt.Sprintf("no decision about %s", a)
	}
	if channel == "$user:42" {
		own := who == "user" || who == "user, granted"
		switch {
		case a != grant.Publish && own:
			return ""
		case a == grant.Publish && rule == rules.Anyone:
			return ""
		case who == "anonymous":
			return "token_missing"
		case !backend && a == grant.Publish:
			return "backend_only"
		case !backend:
			return "not_allowed"
		case who != "backend, all users":
			return "not_allowed"
		}
		return ""
	}
	switch {
	case rule == rules.Anyone:
		return ""
	case who == "anonymous":
		return "token_missing"
	case rule == rules.Backend && !backend:
		return "backend_only"
	case !granted || channel != "a" && who != "backend, all users":
		return "not_allowed"
	}
	return ""
}

func TestGrantsAreTheModel(t *testing.T) {
	decided := map[string]int{}
	for _, open := range []bool{true, false} {
		for _, rule := range []rules.Who{rules.Anyone, rules.Token, rules.Backend} {
			cache := names.NewCache(rules.New(nil, rules.Rule{Subscribe: rule, Publish: rule}))
			gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 10, MessageBytes: 100, WireBytes: 10_000, NeedsToken: !open}
			for _, action := range grant.Actions() {
				for who, proven := range principals(t, action) {
					for _, channel := range []string{"a", "b", "$user:42"} {
						r := permit.Request{Action: action, Who: permit.Principal{Grant: proven}, Channels: []*names.Name{cache.Of(channel)}}
						got := ""
						if err := gate.Decide(&r); err != nil {
							got = err.Code
						}
						if action == grant.Presence && got == "presence_off" { // there is no table
							got = ""
						}
						want := model(open, action, who, channel, rule)
						if got != want {
							t.Errorf("open %v, rule %s, %s, %s, %s: %q, want %q", open, rule, action, who, channel, got, want)
						}
						decided[want]++
					}
				}
			}
		}
	}
	for _, code := range []string{"", "token_missing", "backend_only", "not_allowed"} {
		if decided[code] < 20 {
			t.Errorf("%q was decided %d times only", code, decided[code])
		}
	}
}

// One of several channels that is not granted refuses all of the request.
func TestOneChannelWithoutGrantRefusesTheRequest(t *testing.T) {
	cache := names.NewCache(rules.New(nil, rules.Rule{Subscribe: rules.Token, Publish: rules.Token}))
	gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 10, MessageBytes: 100, WireBytes: 10_000, NeedsToken: true}
	for _, action := range []grant.Action{grant.Subscribe, grant.Publish} {
		r := permit.Request{Action: action, Who: permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "1", Scope: scope(t, action)}},
			Channels: []*names.Name{cache.Of("a"), cache.Of("b"), cache.Of("ab")}}
		if err := gate.Decide(&r); err != permit.ErrNoGrant {
			t.Errorf("%s: %v", action, err)
		}
		r.Channels = r.Channels[:1]
		if err := gate.Decide(&r); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// A key that may inspect some channels does not list the names of others.
func TestListingNeedsAllThatItLists(t *testing.T) {
	gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, NeedsToken: true}
	who := permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: scope(t, grant.Inspect)}}
	for prefix, want := range map[string]bool{"": false, "b": false, "a": true, "ab": true, `\`: false, "*": false} {
		if err := gate.Decide(&permit.Request{Action: grant.Inspect, Who: who, Prefix: []byte(prefix)}); (err == nil) != want {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

// Where tokens are needed, an anonymous client has no name: it could be that of a user.
func TestAnonymousClientsHaveNoNameWhereTokensAreNeeded(t *testing.T) {
	cache := names.NewCache(rules.New(nil, rules.Rule{Subscribe: rules.Anyone}))
	for _, needs := range []bool{false, true} {
		gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 10, NeedsToken: needs}
		for _, c := range []struct {
			who    *grant.Grant
			client string
			want   *refusal.Error
		}{
			{nil, "", nil}, {nil, "42", permit.ErrNoName},
			{&grant.Grant{Kind: grant.User, Subject: "42", Scope: scope(t)}, "42", nil},
			{&grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: scope(t)}, "42", nil},
		} {
			if !needs {
				c.want = nil
			}
			r := permit.Request{Action: grant.Subscribe, Who: permit.Principal{Grant: c.who, Client: []byte(c.client)}, Channels: []*names.Name{cache.Of("a")}}
			if err := gate.Decide(&r); err != c.want {
				t.Errorf("needs a token %v, %+v: %v, want %v", needs, c, err, c.want)
			}
		}
	}
}

type revocations map[string]bool

func (r revocations) Has(g *grant.Grant) bool       { return r[g.ID] || r.IsUnknown(g) }
func (r revocations) IsUnknown(g *grant.Grant) bool { return g.ID == "old" }

func TestARevokedTokenIsRefusedForEverything(t *testing.T) {
	gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 1, Revocations: revocations{"x": true}}
	for _, action := range grant.Actions() {
		who := permit.Principal{Grant: &grant.Grant{Kind: grant.User, ID: "x", Scope: all(t)}}
		if err := gate.Decide(&permit.Request{Action: action, Who: who}); err != permit.ErrRevoked {
			t.Errorf("%s: %v", action, err)
		}
		who.Grant = &grant.Grant{Kind: grant.User, ID: "old", Issued: 1, Scope: all(t)}
		if err := gate.Decide(&permit.Request{Action: action, Who: who}); err != permit.ErrUnknown {
			t.Errorf("%s, issued before the revocations that are known: %v", action, err)
		}
		who.Grant = &grant.Grant{Kind: grant.User, ID: "old", Scope: all(t)}
		if err := gate.Decide(&permit.Request{Action: action, Who: who}); err != permit.ErrNoIssued {
			t.Errorf("%s, without iat: %v", action, err)
		}
		who.Grant = &grant.Grant{Kind: grant.Backend, ID: "y", Scope: all(t)}
		if err := gate.Decide(&permit.Request{Action: action, Who: who}); err == permit.ErrRevoked {
			t.Errorf("%s: refused though it is not revoked", action)
		}
	}
}

// Where tokens are needed and a rule lets anyone publish, a page of another site still
// cannot have its visitors do it, whatever Open says.
func TestPagesOfOtherSitesPublishNothingWithoutAToken(t *testing.T) {
	cache := names.NewCache(rules.New(nil, rules.Rule{Publish: rules.Anyone}))
	gate := &permit.Gate{Policy: &auth.Policy{Open: true, Origins: []string{"https://app.example"}}, Hub: directory{}, MessageBytes: 10, WireBytes: 10_000, NeedsToken: true}
	for _, c := range []struct {
		origin, site string
		refused      bool
	}{
		{"", "", false}, {"", "same-origin", false}, {"", "none", false}, {"", "cross-site", true}, {"", "same-site", true},
		{"https://evil.example", "", true}, {"null", "", true}, {"https://app.example", "cross-site", false}, {"https://push.example", "", false},
	} {
		r := permit.Request{Action: grant.Publish, Channels: []*names.Name{cache.Of("a")}, From: permit.From{Host: []byte("push.example")}}
		if c.origin != "" {
			r.From.Origin = []byte(c.origin)
		}
		if c.site != "" {
			r.From.Site = []byte(c.site)
		}
		if err := gate.Decide(&r); (err == permit.ErrForeignPublish) != c.refused {
			t.Errorf("origin %q, site %q: %v", c.origin, c.site, err)
		}
		r.Who.Grant = &grant.Grant{Kind: grant.User, Subject: "1", Scope: scope(t)}
		if err := gate.Decide(&r); err != nil {
			t.Errorf("origin %q, site %q, with a token: %v", c.origin, c.site, err)
		}
	}
}

// client-publish: false is about clients, whatever the transport is, as soon as the
// server can tell them from backends.
func TestClientsMayNotPublishOverHTTPEither(t *testing.T) {
	cache := names.NewCache(rules.New(nil, rules.Rule{Publish: rules.Anyone, ClientPublish: rules.No}))
	for _, c := range []struct {
		open      bool
		who       *grant.Grant
		transport permit.Transport
		want      *refusal.Error
	}{
		{true, nil, permit.HTTP, nil}, // the backend, as far as anybody knows
		{true, nil, permit.WebSocket, permit.ErrBackendOnly},
		{true, &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}, permit.HTTP, permit.ErrBackendOnly},
		{false, nil, permit.HTTP, permit.ErrBackendOnly},
		{false, &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}, permit.HTTP, permit.ErrBackendOnly},
		{false, &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: all(t)}, permit.HTTP, nil},
	} {
		gate := &permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 1, MessageBytes: 100, WireBytes: 10_000, NeedsToken: !c.open}
		r := permit.Request{Action: permit.Publish, Who: permit.Principal{Grant: c.who}, From: permit.From{Transport: c.transport}, Channels: []*names.Name{cache.Of("prices")}, Data: []byte("x")}
		if err := gate.Decide(&r); err != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
