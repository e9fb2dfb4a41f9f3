package permit_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"peal/server/ask"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/rate"
)

// newAsk asks about channels that are not free, and never sends anything.
func newAsk(t *testing.T) *ask.Client {
	t.Helper()
	c := ask.New(slog.New(slog.DiscardHandler), time.Now)
	use, err := c.Prepare([]ask.Definition{{
		URL: "https://a.example/", Secret: strings.Repeat("s", 24), On: ask.Actions, Channels: []string{"a*", "$user:*"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	use()
	return c
}

// answered is a request that has been asked about, with that answer.
func answered(t *testing.T, gate *permit.Gate, r permit.Request, a ask.Answer) permit.Request {
	t.Helper()
	if err := gate.Decide(&r); err != permit.ErrAsk || r.Call == nil {
		t.Fatalf("%v, call %v", err, r.Call)
	}
	r.Answers = permit.Answers{r.Call.Key: &a}
	return r
}

// A connection is asked about before its channels, which are asked about by themselves.
func TestAConnectionAndItsChannelsAreTwoQuestions(t *testing.T) {
	gate, cache := newGate(8)
	gate.Ask = newAsk(t)
	r := answered(t, gate, permit.Request{Action: permit.Subscribe, Opens: true, Channels: []*names.Name{cache.Of("a"), cache.Of("free")}}, ask.Answer{User: "ann"})
	connect := r.Call.Key
	if err := gate.Decide(&r); err != permit.ErrAsk || r.Call.Key == connect {
		t.Fatalf("%v: the answer about the connection counts for its channels", err)
	}
	subscribe := r.Call.Key
	r.Answers[subscribe] = &ask.Answer{Info: "x", HasInfo: true}
	if err := gate.Decide(&r); err != nil || r.Given != (permit.Given{User: "ann", Info: "x", HasInfo: true}) {
		t.Errorf("%v, %+v", err, r.Given)
	}
	r.Answers[subscribe] = &ask.Answer{User: "bob"}
	if err := gate.Decide(&r); err == nil || err.Code != "ask_denied" {
		t.Errorf("two names: %v", err)
	}
}

// What the backend says takes away only: a refusal stays one, and its name for a client must be
// that of the token, and of nobody who is kept away.
func TestTheBackendGrantsNothing(t *testing.T) {
	gate, cache := newGate(8)
	gate.Ask = newAsk(t)
	user := permit.Principal{Grant: &grant.Grant{Kind: grant.User, Subject: "42", Scope: all(t)}}
	one := []*names.Name{cache.Of("a")}
	r := answered(t, gate, permit.Request{Action: permit.Subscribe, Channels: one, Who: user}, ask.Answer{User: "43"})
	if err := gate.Decide(&r); err == nil || err.Code != "ask_denied" {
		t.Errorf("another user: %v", err)
	}
	r = answered(t, gate, permit.Request{Action: permit.Subscribe, Channels: one}, ask.Answer{User: "evil"})
	if err := gate.Decide(&r); err != permit.ErrDisconnected {
		t.Errorf("a name that is kept away: %v", err)
	}
	gate.NeedsToken = true
	for _, name := range []string{"$user:7"} {
		r := permit.Request{Action: permit.Subscribe, Channels: []*names.Name{cache.Of(name)}}
		if err := gate.Decide(&r); err == nil || r.Call != nil {
			t.Errorf("%s: %v, and the backend is asked: %v", name, err, r.Call != nil)
		}
	}
}

// Data that the backend writes has the limits of others.
func TestRewrittenDataIsChecked(t *testing.T) {
	gate, cache := newGate(8)
	gate.Ask, gate.WireBytes = newAsk(t), 1<<20
	publish := permit.Request{Action: permit.Publish, Channels: []*names.Name{cache.Of("a")}, Data: []byte("x")}
	r := answered(t, gate, publish, ask.Answer{Rewrite: true, Data: []byte("abc"), Binary: true})
	if err := gate.Decide(&r); err != nil || string(r.Data) != "abc" || !r.Binary {
		t.Errorf("%v, %q", err, r.Data)
	}
	r = answered(t, gate, publish, ask.Answer{Rewrite: true, Data: make([]byte, gate.MessageBytes+1)})
	if err := gate.Decide(&r); err == nil || err.Code != "message_too_large" {
		t.Errorf("too long: %v", err)
	}
}

// What waited for the backend was counted when it came.
func TestARequestThatWaitedCountsOnce(t *testing.T) {
	gate, cache := newGate(8)
	gate.Ask, gate.WireBytes = newAsk(t), 1<<20
	gate.Pace = permit.Pace{Buckets: rate.New(8), Limits: rate.Limits{Connection: rate.PerSecond(1)}, Now: func() time.Duration { return 0 }}
	publish := permit.Request{Action: permit.Publish, Channels: []*names.Name{cache.Of("a")}, Data: []byte("x")}
	r := answered(t, gate, publish, ask.Answer{})
	if err := gate.Decide(&r); err != nil {
		t.Errorf("with the answer: %v", err)
	}
	if err := gate.Decide(&publish); err == nil || err.Code != "rate_limited" {
		t.Errorf("the next one: %v", err)
	}
}
