package permit_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"peal/loop/frame"
	"peal/server/auth"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/rate"
	"peal/server/rules"
)

// paced is a gate with a clock of the test.
type paced struct {
	t testing.TB
	permit.Gate
	cache *names.Cache
	now   time.Duration
}

func newPaced(t testing.TB, limits rate.Limits, list ...rules.Rule) *paced {
	p := &paced{t: t, cache: names.NewCache(rules.New(list, rules.Rule{}))}
	p.Gate = permit.Gate{Policy: &auth.Policy{}, Hub: directory{}, ChannelLimit: 100, MessageBytes: 100, WireBytes: 10_000}
	p.Pace = permit.Pace{Buckets: rate.New(1), Limits: limits, Now: func() time.Duration { return p.now }}
	return p
}

func (p *paced) names(texts string) (list []*names.Name) {
	for _, text := range strings.Fields(texts) {
		list = append(list, p.cache.Of(text))
	}
	return list
}

// publish returns the error of one publication, "" for none.
func (p *paced) publish(who permit.Principal, channels string) string {
	p.t.Helper()
	err := p.Decide(&permit.Request{Action: permit.Publish, Who: who, Channels: p.names(channels)})
	if err == nil {
		return ""
	}
	if err.Code != "rate_limited" || err.Status != 429 || err.Close != frame.CloseRateLimited || err.Retry < 1 || !permit.IsRate(err) {
		p.t.Fatalf("%+v", err)
	}
	return err.Message
}

// until publishes as often as it may, and returns how often that is.
func (p *paced) until(who permit.Principal, channels string) (n int) {
	p.t.Helper()
	for p.publish(who, channels) == "" {
		if n++; n > 10_000 {
			return n
		}
	}
	return n
}

func connection(session uint64) permit.Principal { return permit.Principal{Session: session} }

func user(session uint64, sub string) permit.Principal {
	return permit.Principal{Session: session, Grant: &grant.Grant{Kind: grant.User, Subject: sub, Scope: &grant.Scope{}}}
}

func backend(session uint64, key string) permit.Principal {
	return permit.Principal{Session: session, Grant: &grant.Grant{Kind: grant.Backend, Subject: key, Scope: &grant.Scope{}}}
}

func TestEachLimitIsOfWhatItNames(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.PerSecond(10), User: rate.PerSecond(15), Key: rate.PerSecond(30)})
	check := func(what string, who permit.Principal, want int, says string) {
		t.Helper()
		if got := p.until(who, "a"); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
		if got := p.publish(who, "a"); !strings.Contains(got, says) {
			t.Errorf("%s: %q lacks %q", what, got, says)
		}
	}
	check("a connection", connection(1), 10, "on this connection (rate-connection: 10/s): try again in 1 s")
	check("another connection", connection(2), 10, "rate-connection")
	check("a user", user(3, "42"), 10, "rate-connection")
	check("the user's second connection", user(4, "42"), 5, "of this user (rate-user: 15/s)")
	check("the user's third", user(5, "42"), 0, "rate-user")
	check("another user", user(6, "43"), 10, "rate-connection")
	check("a key", backend(7, "42"), 30, "with this key (rate-key: 30/s)")
	check("the key's second connection", backend(8, "42"), 0, "rate-key")
	check("another key", backend(8, "43"), 30, "rate-key")
	p.now += time.Second
	check("a connection, later", connection(1), 10, "rate-connection")
	check("the user's third, later", user(5, "42"), 10, "rate-connection") // it was never counted for what the user lacked
	check("a key, later", backend(7, "42"), 30, "rate-key")
	if got := p.Pace.Buckets.Stats(); got["connection"] == 0 || got["user"] == 0 || got["key"] == 0 || got["channel"] != 0 {
		t.Errorf("counted: %v", got)
	}
}

func TestNoLimitIsNoLimit(t *testing.T) {
	off := newPaced(t, rate.Limits{Connection: rate.Off, User: rate.Off, Key: rate.Off})
	without := newPaced(t, rate.Limits{Connection: rate.PerSecond(1), User: rate.PerSecond(1), Key: rate.PerSecond(1)})
	without.Pace.Buckets = nil
	for name, p := range map[string]*paced{"zero": newPaced(t, rate.Limits{}), "off": off, "no table": without} {
		for _, who := range []permit.Principal{connection(1), user(1, "1"), backend(1, "1")} {
			if n := p.until(who, "a b"); n <= 10_000 {
				t.Errorf("%s: refused after %d", name, n)
			}
		}
	}
	some := newPaced(t, rate.Limits{User: rate.PerSecond(5)})
	if n := some.until(connection(1), "a"); n <= 10_000 {
		t.Errorf("a connection without a token has the limit of users: %d", n)
	}
	if n := some.until(user(1, "1"), "a"); n != 5 {
		t.Errorf("%d, want 5", n)
	}
	if n := some.until(backend(1, "1"), "a"); n <= 10_000 {
		t.Errorf("a backend has the limit of users: %d", n)
	}
}

func TestEachChannelCounts(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.PerSecond(10)})
	if n := p.until(connection(1), "a b c"); n != 3 {
		t.Errorf("%d messages on three channels, want 3", n)
	}
	if n := p.until(connection(1), "a"); n != 1 {
		t.Errorf("%d more on one, want 1", n)
	}
	wide := strings.Join(strings.Split("abcdefghijklmnopqrst", ""), " ")
	if got := p.publish(connection(2), wide); got != "" {
		t.Errorf("20 channels with a burst of 10 can never be published: %s", got)
	}
	if got := p.publish(connection(2), "a"); !strings.Contains(got, "in 2 s") {
		t.Errorf("%q: 10 are owed", got)
	}
}

// The rate of a rule is of each client on each channel, and replaces the others.
func TestTheRateOfARuleReplacesTheOthers(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.PerSecond(10), User: rate.PerSecond(10), Key: rate.PerSecond(30)},
		rules.Rule{Match: "slow.*", Rate: rate.PerSecond(2)}, rules.Rule{Match: "fast.*", Rate: rate.PerSecond(100)}, rules.Rule{Match: "free", Rate: rate.Off})
	check := func(who permit.Principal, channels string, want int) {
		t.Helper()
		if got := p.until(who, channels); got != want {
			t.Errorf("%v on %s: %d, want %d", who.Grant, channels, got, want)
		}
	}
	check(connection(1), "slow.a", 2)
	check(connection(1), "slow.b", 2)
	check(connection(2), "slow.a", 2)
	check(connection(1), "fast.a", 100)
	check(connection(1), "free", 10_001)
	check(connection(1), "other", 10) // nothing of it was used so far
	check(connection(1), "fast.b", 100)
	check(user(3, "42"), "slow.a", 2)
	check(user(4, "42"), "slow.a", 0) // of the user, whatever the connection
	check(user(4, "42"), "slow.b", 2)
	check(user(3, "43"), "slow.a", 2)
	check(user(3, "42"), "other", 10)
	check(backend(5, "shop"), "slow.a", 30)
	if got := p.publish(connection(1), "slow.a"); !strings.Contains(got, "rate of its channel rule: 2/s") {
		t.Error(got)
	}
	if p.Pace.Buckets.Stats()["channel"] == 0 {
		t.Error("refusals of rules are not counted")
	}
}

// What is refused by one bucket takes nothing from the others, in any mixture.
func TestARefusedPublicationTakesNothing(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	limits := rate.Limits{Connection: rate.PerSecond(12), User: rate.PerSecond(8), Key: rate.PerSecond(25)}
	slow, slower := rate.PerSecond(3), rate.Limit{Count: 2, Per: time.Minute, Burst: 4}
	p := newPaced(t, limits, rules.Rule{Match: "slow*", Rate: slow}, rules.Rule{Match: "slower*", Rate: slower}, rules.Rule{Match: "free", Rate: rate.Off})
	// Tokens of each bucket while the clock stands still.
	left := map[string]int{}
	has := func(bucket string, burst int) int {
		if _, ok := left[bucket]; !ok {
			left[bucket] = burst
		}
		return left[bucket]
	}
	who := map[string]permit.Principal{"c1": connection(1), "c2": connection(2), "u1": user(3, "ann"), "u1 again": user(4, "ann"), "u2": user(3, "bob"), "k": backend(5, "shop")}
	all := []string{"c1", "c2", "u1", "u1 again", "u2", "k"}
	refused := 0
	for step := range 20_000 {
		if step%40 == 0 { // all are full again
			p.now += time.Hour
			clear(left)
		}
		name := all[random.IntN(len(all))]
		w := who[name]
		channels := []string{"a", "b", "c", "slow1", "slow2", "slower1", "free"}
		random.Shuffle(len(channels), func(i, k int) { channels[i], channels[k] = channels[k], channels[i] })
		channels = channels[:1+random.IntN(len(channels))]
		needs := map[string]int{}
		ok := true
		for _, c := range channels {
			client := "connection " + string(rune('0'+w.Session))
			if w.User() != "" {
				client = "user " + w.User()
			}
			switch {
			case name == "k":
				has("k", 25)
				needs["k"]++
			case strings.HasPrefix(c, "slow"): // slower, too: the first rule that matches is that of slow*
				has(client+c, 3)
				needs[client+c]++
			case c == "free":
			default:
				bucket := "connection " + string(rune('0'+w.Session))
				has(bucket, 12)
				needs[bucket]++
				if w.User() != "" {
					has("user "+w.User(), 8)
					needs["user "+w.User()]++
				}
			}
		}
		for bucket, n := range needs {
			ok = ok && left[bucket] >= n
		}
		if ok {
			for bucket, n := range needs {
				left[bucket] -= n
			}
		} else {
			refused++
		}
		if got := p.publish(w, strings.Join(channels, " ")) == ""; got != ok {
			t.Fatalf("seed %d, step %d: %s on %v: %v, want %v; %v", seed, step, name, channels, got, ok, left)
		}
	}
	if refused < 1000 {
		t.Errorf("refused %d times only", refused)
	}
}

func TestCommandsCountAndRequestsDoNot(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.PerSecond(4)})
	command := func(a permit.Action) permit.Request {
		return permit.Request{Action: a, Who: connection(1), From: permit.From{Transport: permit.WebSocket}, Channels: p.names("a b")}
	}
	p.Presence = newPresence(1 << 20)
	for i, a := range []permit.Action{permit.Subscribe, permit.History, permit.Presence, permit.Subscribe} {
		r := command(a)
		if err := p.Decide(&r); err != nil {
			t.Errorf("command %d: %v", i, err)
		}
	}
	for _, a := range []permit.Action{permit.Subscribe, permit.History, permit.Presence, permit.Publish} {
		r := command(a)
		if err := p.Decide(&r); !permit.IsRate(err) {
			t.Errorf("%s: %v, want rate_limited", a, err)
		}
		if r.From.Transport = permit.HTTP; a == permit.Publish {
			continue
		}
		if err := p.Decide(&r); err != nil {
			t.Errorf("%s over HTTP: %v", a, err)
		}
	}
}

func TestRetryIsTheTimeOfTheBucketInWholeSeconds(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.Limit{Count: 2, Per: time.Minute, Burst: 1}})
	if p.until(connection(1), "a") != 1 {
		t.Error("not one")
	}
	r := permit.Request{Action: permit.Publish, Who: connection(1), Channels: p.names("a")}
	for passed, want := range map[time.Duration]int{0: 30, time.Second: 29, 1500 * time.Millisecond: 29, 29*time.Second + 1: 1} {
		p.now = passed
		err := p.Decide(&r)
		if err == nil || err.Retry != want {
			t.Errorf("after %v: %+v, want %d", passed, err, want)
		}
		if seconds, again := err.Again(); seconds != want || !again {
			t.Errorf("%d %v", seconds, again)
		}
	}
	p.now = 30 * time.Second
	if err := p.Decide(&r); err != nil {
		t.Error(err)
	}
}

func TestRateMakesNoGarbage(t *testing.T) {
	p := newPaced(t, rate.Limits{Connection: rate.PerSecond(rate.Most), User: rate.PerSecond(rate.Most), Key: rate.PerSecond(rate.Most)}, rules.Rule{Match: "slow*", Rate: rate.PerSecond(rate.Most)})
	for _, who := range []permit.Principal{connection(1), user(1, "1"), backend(1, "1")} {
		r := permit.Request{Action: permit.Publish, Who: who, Channels: p.names("a slow")}
		if n := testing.AllocsPerRun(100, func() {
			if err := p.Decide(&r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", who.Grant, n)
		}
	}
}

func BenchmarkDecidePublish(b *testing.B) {
	on := rate.PerSecond(rate.Most)
	for name, limits := range map[string]rate.Limits{"off": {}, "connection": {Connection: on}, "connection-and-user": {Connection: on, User: on}} {
		b.Run("rate="+name, func(b *testing.B) {
			p := newPaced(b, limits)
			r := permit.Request{Action: permit.Publish, Who: user(1, "42"), Channels: p.names("a"), Data: []byte("x")}
			b.ReportAllocs()
			for b.Loop() {
				p.now += time.Microsecond
				if err := p.Decide(&r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
