package permit_test

import (
	"testing"

	"peal/server/app"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/rules"
)

// The private and presence channels of apps need a grant for every action on them, with
// auth open, too.
func TestProtectedChannelsNeedAGrant(t *testing.T) {
	gate, cache := newGate(1 << 20)
	gate.WireBytes = 10_000
	apps, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "a-long-secret"}, {ID: "2", Key: "k2", Secret: "a-long-secret", Namespace: "shop:"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions := []permit.Action{permit.Subscribe, permit.History, permit.Presence, permit.Publish, permit.Inspect}
	user := permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}}
	backend := permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: all(t)}}
	stranger := permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: scope(t)}}
	for channel, protected := range map[string]bool{
		"private-a": true, "presence-a": true, "shop:private-encrypted-a": true, "shop:presence-a": true, "#server-to-user-42": true, "private-cache-a": true,
		"a": false, "shop:a": false, "other:private-a": false, "cache-a": false, "xprivate-a": false,
	} {
		for _, action := range actions {
			for who, c := range map[string]struct {
				principal permit.Principal
				granted   bool
				want      bool // if the channel is protected
			}{
				"nobody": {permit.Principal{}, false, false}, "the app": {permit.Principal{}, true, true},
				"a user": {user, false, channel != "#server-to-user-42"}, "a backend": {backend, false, true}, "a user without the channel": {stranger, false, false},
			} {
				if action == permit.Inspect && (who == "the app" || who == "a user") {
					continue // is the backend's
				}
				for _, transport := range []permit.Transport{permit.HTTP, permit.WebSocket} {
					gate.Apps = apps
					r := permit.Request{Action: action, Who: c.principal, From: permit.From{Transport: transport}, Channels: []*names.Name{cache.Of(channel)}, Granted: c.granted, Data: []byte("x")}
					err := gate.Decide(&r)
					if want := !protected || c.want; (err == nil) != want {
						t.Errorf("%s, action %v, %s, transport %d: %v, want allowed %v", channel, action, who, transport, err, want)
					}
					if err != nil && who == "nobody" && err != permit.ErrProtected {
						t.Errorf("%s, action %v: %v", channel, action, err)
					}
					gate.Apps = nil // without apps they are names as all others
					if err := gate.Decide(&r); err != nil {
						t.Errorf("%s, action %v, %s, without apps: %v", channel, action, who, err)
					}
				}
			}
		}
	}
	gate.Apps = apps
	looking := permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}}
	for channel, want := range map[string]bool{"private-a": false, "#server-to-user-42": true, "shop:#server-to-user-42": true, "a": false} {
		if gate.Hides(&looking, channel) != want || gate.Grants(looking.Grant, channel) == want || gate.Grants(nil, channel) != (channel == "a") || !gate.Grants(backend.Grant, channel) {
			t.Errorf("a token for all channels and %s", channel)
		}
	}
	for channel, want := range map[string]bool{"private-a": true, "$presence:presence-a": true, "a": false} {
		if gate.Hides(&permit.Principal{}, channel) != want || gate.Hides(&backend, channel) {
			t.Errorf("%s is listed, or not", channel)
		}
	}
}

// A signature of an app is what a token would be, and not a key.
func TestAnAppGrantsWhatATokenWould(t *testing.T) {
	gate, _ := newGate(1 << 20)
	gate.NeedsToken = true
	cache := names.NewCache(rules.New([]rules.Rule{{Match: "backend", Subscribe: rules.Backend, Publish: rules.Backend}}, rules.Rule{Subscribe: rules.Token, Publish: rules.Token}))
	for _, c := range []struct {
		channel string
		granted bool
		want    *refusal.Error
	}{{"a", false, permit.ErrNoToken}, {"a", true, nil}, {"backend", true, permit.ErrNoToken}} {
		r := permit.Request{Action: permit.Subscribe, Channels: []*names.Name{cache.Of(c.channel)}, Granted: c.granted}
		if err := gate.Decide(&r); err != c.want {
			t.Errorf("%s: %v, want %v", c.channel, err, c.want)
		}
	}
	r := permit.Request{Action: permit.Subscribe, Channels: []*names.Name{cache.Of("a")}, Granted: true, Who: permit.Principal{Client: []byte("7")}}
	if err := gate.Decide(&r); err != nil {
		t.Errorf("a member that its app has signed: %v", err)
	}
}
