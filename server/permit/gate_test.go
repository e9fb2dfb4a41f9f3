package permit_test

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/app"
	"peal/server/ask"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/grant"
	"peal/server/hub"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/rate"
	"peal/server/refusal"
	"peal/server/rules"
)

// directory is channels with so many subscribers each.
type directory map[string]int

func (d directory) Channel(name string) (hub.Info, bool) {
	n, ok := d[name]
	return hub.Info{Name: name, Subscribers: n}, ok
}

// newGate returns a gate, and a cache of the names that it has rules for.
func newGate(presenceBytes int) (*permit.Gate, *names.Cache) {
	now := func() time.Time { return time.Unix(1000, 0) }
	bans := ban.New(10, 10, now)
	bans.Ban(1, []string{"evil"}, time.Hour)
	return &permit.Gate{
			Policy: &auth.Policy{}, Bans: bans, Hub: directory{"full": 1}, Revocations: revocations{"gone": true},
			Presence:     newPresence(presenceBytes),
			ChannelLimit: 2, MessageBytes: 100, WireBytes: 100,
		}, names.NewCache(rules.New([]rules.Rule{
			{Match: "full", MaxSubscribers: 1},
			{Match: "quiet", Presence: rules.No, Subscribe: rules.Backend},
			{Match: "prices", ClientPublish: rules.No},
			{Match: "small", MessageBytes: 10},
		}, rules.Rule{}))
}

func newPresence(bytes int) *presence.Table {
	return presence.New(presence.Config{Bytes: bytes}, func(string) bool { return true }, func() time.Time { return time.Unix(1000, 0) })
}

// documented is the codes of the table in doc.go, in its order.
func documented(t *testing.T) (codes []string) {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	column := 0
	for line := range strings.Lines(string(source)) {
		row, ok := strings.CutPrefix(strings.TrimSpace(line), "//\t")
		switch {
		case !ok:
		case column == 0:
			column = strings.Index(row, "errors")
		case len(row) > column:
			codes = append(codes, strings.Split(row[column:], ", ")...)
		}
	}
	return codes
}

// Everything is wrong, and what is refused is mended, one after the other: the
// checks come in the order of the documentation, and there are no others.
func TestChecksComeInTheDocumentedOrder(t *testing.T) {
	gate, cache := newGate(1)
	of := func(texts ...string) (list []*names.Name) {
		for _, text := range texts {
			list = append(list, cache.Of(text))
		}
		return list
	}
	type step struct {
		code string
		mend func(r *permit.Request)
	}
	order := documented(t)
	found := map[string]bool{}
	walk := func(r permit.Request, steps ...step) {
		t.Helper()
		at := 0
		for _, s := range steps {
			err := gate.Decide(&r)
			if err == nil || err.Code != s.code {
				t.Fatalf("action %d: %v, want %s", r.Action, err, s.code)
			}
			i := slices.Index(order, s.code)
			if i < at {
				t.Errorf("action %d: %s is checked behind %s, and documented before it, or not at all: %q", r.Action, s.code, order[at], order)
			}
			at, found[s.code] = i, true
			s.mend(&r)
		}
		if err := gate.Decide(&r); err != nil {
			t.Errorf("action %d: %v when all is mended", r.Action, err)
		}
	}
	walk(permit.Request{Action: permit.Arrive, From: permit.From{Host: []byte("evil.example"), Origin: []byte("http://evil.example"), Site: []byte("cross-site")}, Effect: true},
		step{"host_not_allowed", func(r *permit.Request) { r.From.Host = []byte("localhost") }},
		step{"origin_not_allowed", func(r *permit.Request) { r.From.Origin = nil }},
		step{"cross_site", func(r *permit.Request) { r.Effect = false }})
	walk(permit.Request{
		Action: permit.Subscribe, From: permit.From{Site: []byte("cross-site")},
		Who:      permit.Principal{Client: []byte("evil"), Grant: &grant.Grant{Kind: grant.User, Subject: "42", ID: "old", Scope: scope(t)}},
		Channels: of("quiet"), Presence: true, Draining: true, Has: 2,
	},
		step{"cross_site", func(r *permit.Request) { r.From.Site = nil }},
		step{"control_state_lost", func(r *permit.Request) {
			r.Who.Grant = &grant.Grant{Kind: grant.User, Subject: "42", ID: "gone", Scope: scope(t)}
		}},
		step{"token_revoked", func(r *permit.Request) { r.Who.Grant = &grant.Grant{Kind: grant.User, Subject: "42", Scope: scope(t)} }},
		step{"client_mismatch", func(r *permit.Request) {
			r.Who = permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "evil", Scope: scope(t)}}
		}},
		step{"disconnected", func(r *permit.Request) { r.Who.Grant = nil }},
		step{"token_missing", func(r *permit.Request) { r.Who.Grant = &grant.Grant{Kind: grant.User, Subject: "42", Scope: scope(t)} }},
		step{"backend_only", func(r *permit.Request) {
			r.Who.Grant = &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: scope(t)}
		}},
		step{"not_allowed", func(r *permit.Request) {
			r.Who.Grant = &grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: all(t)}
		}},
		step{"presence_off", func(r *permit.Request) { r.Channels = of("full") }},
		step{"draining", func(r *permit.Request) { r.Draining = false }},
		step{"too_many_channels", func(r *permit.Request) { r.Has = 1 }},
		step{"channel_full", func(r *permit.Request) { r.Channels = of("a") }},
		step{"presence_full", func(r *permit.Request) { r.Presence = false }})
	gate.Users, gate.UserLimit = permit.NewUsers(), 1
	gate.Users.Enter("42")
	walk(permit.Request{Action: permit.Subscribe, Who: permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}}, Channels: of("full")},
		step{"too_many_connections", func(*permit.Request) { gate.Users.Leave("42") }},
		step{"channel_full", func(r *permit.Request) { r.Channels = of("a") }})
	walk(permit.Request{Action: permit.Presence, Channels: of("quiet"), Who: permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Scope: all(t)}}},
		step{"presence_off", func(r *permit.Request) { r.Channels = of("a") }})
	walk(permit.Request{Action: permit.Publish, From: permit.From{Transport: permit.WebSocket}, Channels: of("prices", "/.well-known/mercure/subscriptions/a/b"), Data: make([]byte, 101)},
		step{"reserved_channel", func(r *permit.Request) { r.Channels = of("prices", "small") }},
		step{"publish_not_allowed", func(r *permit.Request) {
			gate.Pace = permit.Pace{Buckets: rate.New(1), Limits: rate.Limits{Connection: rate.PerSecond(1)}, Now: func() time.Duration { return 0 }}
			gate.Pace.Buckets.Take(gate.Pace.Buckets.Number(rate.Connection, r.Who.Session), gate.Pace.Limits.Connection, 1, 0)
			r.From.Transport = permit.HTTP
		}},
		step{"rate_limited", func(*permit.Request) { gate.Pace = permit.Pace{} }},
		step{"message_too_large", func(r *permit.Request) { r.Data = r.Data[:11] }},
		step{"message_too_large", func(r *permit.Request) { r.Channels = of("a") }},
		step{"message_too_large", func(*permit.Request) { gate.WireBytes = 10_000 }})
	apps, err := app.New([]app.Definition{{ID: "1", Key: "k", Secret: "a-long-secret"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate.Apps = apps
	walk(permit.Request{Action: permit.Subscribe, Channels: of("private-a"), Draining: true},
		step{"channel_protected", func(*permit.Request) { gate.Apps = nil }},
		step{"draining", func(r *permit.Request) { r.Draining = false }})
	gate.NoMemory = new(atomic.Bool)
	gate.NoMemory.Store(true)
	walk(permit.Request{Action: permit.Publish, Channels: of("a"), Data: []byte("x")},
		step{"memory_full", func(*permit.Request) { gate.NoMemory.Store(false) }})
	user := permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}}
	gate.Stale = new(atomic.Bool)
	gate.Stale.Store(true)
	for _, a := range []permit.Action{permit.Subscribe, permit.History, permit.Presence, permit.Publish} {
		gate.Stale.Store(true)
		walk(permit.Request{Action: a, Who: user, Channels: of("a")},
			step{"node_behind", func(*permit.Request) { gate.Stale.Store(false) }})
	}
	gate.Stale.Store(true)
	walk(permit.Request{Action: permit.Publish, Channels: of("a"), Who: permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Scope: all(t)}}})
	walk(permit.Request{Action: permit.Subscribe, Channels: of("a")})
	for _, a := range []permit.Action{permit.Subscribe, permit.History} {
		walk(permit.Request{Action: a, Channels: of("a"), Behind: true},
			step{"node_behind", func(r *permit.Request) { r.Behind = false }})
	}
	gate.Ask = newAsk(t)
	for _, a := range []permit.Action{permit.Subscribe, permit.History, permit.Presence, permit.Publish} {
		var key ask.Key
		answer := func(refused *refusal.Error) func(r *permit.Request) {
			return func(r *permit.Request) {
				if r.Call != nil {
					key = r.Call.Key
				}
				r.Answers = permit.Answers{key: {Refusal: refused}}
			}
		}
		walk(permit.Request{Action: a, Channels: of("a")},
			step{"ask_unavailable", answer(ask.ErrDenied)},
			step{"ask_denied", answer(ask.ErrBusy)},
			step{"ask_busy", answer(nil)})
		walk(permit.Request{Action: a, Channels: of("free")})
		walk(permit.Request{Action: a, Channels: of("a"), Who: permit.Principal{Grant: &grant.Grant{Kind: grant.Backend, Scope: all(t)}}})
	}
	for _, code := range order {
		if !found[code] {
			t.Errorf("%s is documented, and was not found", code)
		}
	}
}

func TestDecideMakesNoGarbage(t *testing.T) {
	gate, cache := newGate(1 << 20)
	gate.WireBytes = 10_000
	channels := []*names.Name{cache.Of("a"), cache.Of("full")}
	from := permit.From{Host: []byte("localhost:8080"), Origin: []byte("http://localhost")}
	for _, r := range []permit.Request{
		{Action: permit.Arrive, From: from},
		{Action: permit.Publish, From: permit.From{Transport: permit.WebSocket}, Channels: channels, Data: []byte("x")},
		{Action: permit.Publish, From: from, Channels: channels, Data: []byte("x")},
		{Action: permit.Subscribe, From: from, Channels: channels[:1]},
		{Action: permit.Subscribe, From: from, Channels: channels[:1], Who: permit.Principal{Client: []byte("ann")}, Presence: true},
		{Action: permit.Presence, Channels: channels[:1]},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := gate.Decide(&r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("action %d: %v allocations", r.Action, n)
		}
	}
}
