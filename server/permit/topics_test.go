package permit_test

import (
	"testing"

	"peal/server/app"
	"peal/server/auth"
	"peal/server/grant"
	"peal/server/mercure"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/rules"
)

// The decision does not rely on who has made the names of a request.
func TestTopicsAreDecidedByTheGrant(t *testing.T) {
	selectors := func(list ...string) grant.Selectors {
		s, err := mercure.Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	token := &grant.Grant{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(selectors("a/{x}"), selectors("p"))}
	all := &grant.Grant{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(selectors("*"), nil)}
	scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"a/*"}})
	if err != nil {
		t.Fatal(err)
	}
	key := &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: scope}
	cache := names.NewCache(rules.New([]rules.Rule{{Match: "closed", Subscribe: rules.Token}, {Match: "a/backend", Subscribe: rules.Backend, Publish: rules.Backend}}, rules.Rule{Subscribe: rules.Token, Publish: rules.Token}))
	apps, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "a-long-secret"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		action     permit.Action
		who        *grant.Grant
		want, only *refusal.Error // only: without anonymous
	}{
		{"news", permit.Subscribe, nil, nil, permit.ErrNoSubscriber},
		{"news", permit.Subscribe, token, nil, nil},
		{"closed", permit.Subscribe, nil, permit.ErrNoSubscriber, permit.ErrNoSubscriber},
		{"closed", permit.Subscribe, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"closed", permit.Subscribe, all, nil, nil},
		{"a/backend", permit.Subscribe, all, permit.ErrTopicKey, permit.ErrTopicKey},
		{"a/backend", permit.Subscribe, key, nil, nil},
		{"$private:a/1", permit.Subscribe, nil, permit.ErrNoSubscriber, permit.ErrNoSubscriber},
		{"$private:a/1", permit.Subscribe, token, nil, nil},
		{"$private:a/1", permit.Subscribe, key, nil, nil},
		{"$private:b", permit.Subscribe, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"$private:b", permit.Subscribe, all, nil, nil},
		{"$private:a/backend", permit.Subscribe, token, permit.ErrTopicKey, permit.ErrTopicKey},
		{"$like:*", permit.Subscribe, nil, nil, permit.ErrNoSubscriber},
		{"$like-private:*", permit.Subscribe, nil, permit.ErrNoTopic, permit.ErrNoTopic},
		{"$like-private:*", permit.Subscribe, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"$like-private:*", permit.Subscribe, key, permit.ErrNoTopic, permit.ErrNoTopic},
		{"$like-private:*", permit.Subscribe, all, nil, nil},
		{"$like-private:{y} a/{x}", permit.Subscribe, token, nil, nil},
		{"$like-private:a/{x} {y}", permit.Subscribe, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"private-x", permit.Subscribe, nil, permit.ErrProtected, permit.ErrProtected},
		{"presence-x", permit.Subscribe, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"private-x", permit.Subscribe, all, nil, nil},
		{"#server-to-user-7", permit.Subscribe, nil, permit.ErrProtected, permit.ErrProtected},
		{"#server-to-user-7", permit.Subscribe, all, permit.ErrTopicKey, permit.ErrTopicKey},
		{"$private:#server-to-user-7", permit.Subscribe, all, permit.ErrTopicKey, permit.ErrTopicKey},
		{"#server-to-user-7", permit.Publish, all, permit.ErrTopicKey, permit.ErrTopicKey},
		{"private-x", permit.Publish, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"p", permit.Publish, token, nil, nil},
		{"p", permit.Publish, nil, permit.ErrNoPublisher, permit.ErrNoPublisher},
		{"p", permit.Publish, all, permit.ErrNoTopic, permit.ErrNoTopic},
		{"$private:p", permit.Publish, token, nil, nil},
		{"$private:q", permit.Publish, token, permit.ErrNoTopic, permit.ErrNoTopic},
		{"a/backend", permit.Publish, token, permit.ErrTopicKey, permit.ErrTopicKey},
	} {
		for _, anonymous := range []bool{true, false} {
			want := c.want
			if !anonymous {
				want = c.only
			}
			g := permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, NeedsToken: true, AnonymousTopics: anonymous, Apps: apps, ChannelLimit: 10, MessageBytes: 1 << 10, WireBytes: 1 << 20}
			r := permit.Request{Action: c.action, Topics: true, Who: permit.Principal{Grant: c.who}, Channels: []*names.Name{cache.Own(c.name)}}
			if got := g.Decide(&r); got != want {
				t.Errorf("%v %s, anonymous %v: %v, want %v", c.action, c.name, anonymous, got, want)
			}
		}
	}

	// Subscribers of the Pusher protocol get the data of an update once for each of its topics.
	r := permit.Request{Action: permit.Publish, Topics: true, Who: permit.Principal{Grant: &grant.Grant{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(nil, selectors("*"))}}, Data: make([]byte, 100)}
	for _, c := range []struct {
		apps   *app.Table
		topics int
		wire   int
		want   string
	}{{apps, 4, 11_040, ""}, {apps, 5, 11_040, "message_too_large"}, {nil, 9, 11_040, ""}, {nil, 1, 2_750, ""}, {nil, 9, 2_750, "message_too_large"}} { // their names are part of it
		g := permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, Apps: c.apps, ChannelLimit: 10, MessageBytes: 1 << 10, WireBytes: c.wire}
		r.Channels = nil
		for i := range c.topics {
			r.Channels = append(r.Channels, cache.Own(string(rune('a'+i))))
		}
		got := ""
		if err := g.Decide(&r); err != nil {
			got = err.Code
		}
		if got != c.want {
			t.Errorf("%d topics, apps %v: %q, want %q", c.topics, c.apps != nil, got, c.want)
		}
	}
}

// All clients that receive a public update see the names of its topics, and subscribers of events of the server
// rely on who has published them, in whatever protocol.
func TestTopicsThatGoWithNoOthers(t *testing.T) {
	all, err := mercure.Compile([]string{"*"})
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := grant.NewScope(map[grant.Action][]string{grant.Publish: {"*"}})
	if err != nil {
		t.Fatal(err)
	}
	token := &grant.Grant{Kind: grant.User, Topics: true, Scope: grant.NewTopicScope(nil, all)}
	key := &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: patterns}
	apps, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "a-long-secret"}, {ID: "2", Key: "k2", Secret: "a-long-secret", Namespace: "shop:"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	const event = "/.well-known/mercure/subscriptions/a/b"
	for _, c := range []struct {
		names  []string
		topics bool
		who    *grant.Grant
		want   *refusal.Error
	}{
		{[]string{"private-x"}, true, token, nil},
		{[]string{"a", "private-x"}, true, token, permit.ErrAlone},
		{[]string{"presence-x", "a"}, true, key, permit.ErrAlone},
		{[]string{"$private:a", "$private:private-x"}, true, token, nil},
		{[]string{"a", "private-x"}, false, key, nil}, // one message each
		{[]string{"a", "shop:b"}, true, key, permit.ErrSeveralApps},
		{[]string{"https://a.example/1", "shop:b", "a"}, true, token, permit.ErrSeveralApps},
		{[]string{"https://a.example/1", "shop:b", "urn:x", "shop:c"}, true, token, nil},
		{[]string{"a", "shop:b"}, false, key, nil},
		{[]string{event}, true, token, permit.ErrTopicOfHub},
		{[]string{"a", event}, false, nil, permit.ErrTopicOfHub},
		{[]string{event}, false, key, permit.ErrTopicOfHub},
	} {
		cache := names.NewCache(rules.New(nil, rules.Rule{}))
		g := permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, Apps: apps, ChannelLimit: 10, MessageBytes: 1 << 10, WireBytes: 1 << 20}
		r := permit.Request{Action: permit.Publish, Topics: c.topics, Who: permit.Principal{Grant: c.who}}
		for _, name := range c.names {
			r.Channels = append(r.Channels, cache.Own(name))
		}
		if got := g.Decide(&r); got != c.want {
			t.Errorf("%q, topics %v: %v, want %v", c.names, c.topics, got, c.want)
		}
	}
}

// A name that is shown beside a message must be one that each of its readers may subscribe to.
func TestOpenChannels(t *testing.T) {
	list := []rules.Rule{{Match: "closed", Subscribe: rules.Token}, {Match: "backends", Subscribe: rules.Backend}, {Match: "free", Subscribe: rules.Anyone}, {Match: "ruled", MessageBytes: 10}}
	apps, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "a-long-secret"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                   string
		open, token, anonymous bool // with auth open, with auth token, and with mercure-anonymous, too
	}{
		{"news", true, false, true}, {"ruled", true, false, true}, {"free", true, true, true}, {"closed", false, false, false}, {"backends", false, false, false},
		{"private-x", false, false, false}, {"presence-x", false, false, false}, {"$private:news", false, false, false}, {"$user:42", false, false, false},
	} {
		for _, mode := range []struct {
			who       rules.Who
			anonymous bool
			want      bool
		}{{rules.Anyone, false, c.open}, {rules.Token, false, c.token}, {rules.Token, true, c.anonymous}} {
			g := permit.Gate{Apps: apps, AnonymousTopics: mode.anonymous}
			cache := names.NewCache(rules.New(list, rules.Rule{Subscribe: mode.who, Publish: mode.who}))
			if got := g.IsOpen(cache.Own(c.name)); got != mode.want {
				t.Errorf("%s, who %v, anonymous %v: open %v", c.name, mode.who, mode.anonymous, got)
			}
		}
	}
}
