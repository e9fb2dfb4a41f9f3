package httpapi_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/presence"
)

// renewing is a guarded Front and a peal.v1 connection of user 42, whose token is valid
// for ten minutes.
type renewing struct {
	*guarded
	now    time.Time
	client *fakeClient
}

func newRenewing(t *testing.T) *renewing {
	t.Helper()
	r := &renewing{now: time.Unix(1_000_000, 0), client: &fakeClient{commands: true, position: 9}}
	r.guarded = newGuarded(t, func(d *httpapi.Deps) {
		d.Now = func() time.Time { return r.now }
		d.Revocations = revokedIDs{"gone"}
		d.Presence = presence.New(presence.Config{Bytes: 1 << 20}, func(string) bool { return true }, d.Now)
	})
	r.token("first", "42", 10*time.Minute, "a*", "b*")
	call := &loop.Call{In: []byte(webSocket("/ws?channel=a1", "Sec-WebSocket-Protocol: peal.v1, peal.token.first")), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: 7}
	r.tokens.cached["first"] = true
	if r.front.Request(call); call.Verdict != loop.Stream {
		t.Fatalf("verdict %d: %q", call.Verdict, call.Out)
	}
	r.client.channels = []string{"$presence:a1", "a1", "b1"}
	warned := call.Sub.Deadline
	if ahead := 10*time.Minute - warned; ahead < 10*time.Second || ahead > 30*time.Second {
		t.Errorf("the first deadline is %v before the token expires", ahead)
	}
	return r
}

type revokedIDs []string

func (r revokedIDs) Has(g *grant.Grant) bool       { return slices.Contains(r, g.ID) }
func (r revokedIDs) IsUnknown(g *grant.Grant) bool { return false }

// token makes a token that grants to subscribe, and presence on the same channels.
func (r *renewing) token(text, sub string, valid time.Duration, patterns ...string) *grant.Grant {
	r.t.Helper()
	scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: patterns, grant.Presence: patterns})
	if err != nil {
		r.t.Fatal(err)
	}
	g := &grant.Grant{Kind: grant.User, Subject: sub, Expires: r.now.Add(valid).Unix(), Scope: scope}
	r.tokens.grants[text] = g
	return g
}

// renew sends the command and returns what the client is sent.
func (r *renewing) renew(text string) string {
	r.t.Helper()
	r.client.written = nil
	r.front.Message(r.client, false, []byte(`{"id":5,"command":"token","token":"`+text+`"}`))
	if r.client.owed > 0 {
		(<-r.door.do)(r.client)
	}
	if r.client.owed != 0 {
		r.t.Errorf("%s: %d replies are owed", text, r.client.owed)
	}
	return string(r.client.written)
}

func TestARenewedTokenKeepsTheConnection(t *testing.T) {
	for _, cached := range []bool{false, true} {
		r := newRenewing(t)
		r.token("next", "42", time.Hour, "a*", "b*")
		r.tokens.cached["next"] = cached
		if got := r.renew("next"); !strings.HasSuffix(got, `{"id":5,"ok":true,"cursor":"z-9"}`) {
			t.Errorf("%q", got)
		}
		if !slices.Equal(r.client.channels, []string{"$presence:a1", "a1", "b1"}) {
			t.Errorf("channels %q", r.client.channels)
		}
		if ahead := time.Hour - r.client.deadline; ahead < 10*time.Second || ahead > 30*time.Second {
			t.Errorf("warned %v before the end", ahead)
		}
	}
}

func TestChannelsThatTheNewTokenDoesNotGrantAreTakenAway(t *testing.T) {
	r := newRenewing(t)
	r.token("next", "42", time.Hour, "a*")
	if got := r.renew("next"); !strings.HasSuffix(got, `{"id":5,"ok":true,"cursor":"z-9","unsubscribed":["b1"]}`) {
		t.Errorf("%q", got)
	}
	if !slices.Equal(r.client.channels, []string{"$presence:a1", "a1"}) {
		t.Errorf("channels %q", r.client.channels)
	}
	// Presence events end where presence is not granted, though the channel is.
	g := r.token("less", "42", time.Hour, "a*")
	scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"a*"}})
	if err != nil {
		t.Fatal(err)
	}
	g.Scope = scope
	if got := r.renew("less"); !strings.HasSuffix(got, `{"id":5,"ok":true,"cursor":"z-9"}`) {
		t.Errorf("%q", got)
	}
	if !slices.Equal(r.client.channels, []string{"a1"}) {
		t.Errorf("channels %q", r.client.channels)
	}
	// From now on the new token decides.
	r.client.written = nil
	r.front.Message(r.client, false, []byte(`{"id":6,"command":"subscribe","channel":"b2"}`))
	if got := string(r.client.written); !strings.Contains(got, `"not_allowed"`) {
		t.Errorf("%q", got)
	}
}

func TestRenewalsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"other":        `"client_mismatch"`,
		"revoked":      `"token_revoked"`,
		"unknown":      `"token_invalid"`,
		"peal_good":    `"token_invalid"`,
		"":             `"bad_field"`,
		`","x":"y`:     `"unknown_field"`,
		`","token":"a`: `"bad_json"`,
	} {
		r := newRenewing(t)
		r.token("other", "43", time.Hour, "*")
		r.token("revoked", "42", time.Hour, "*").ID = "gone"
		if got := r.renew(text); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %s", text, got, want)
		}
		if r.client.closed != 0 || len(r.client.channels) != 3 || r.client.deadline != 0 {
			t.Errorf("%s: closed %d, channels %q, deadline %v: the old token must stay in force", text, r.client.closed, r.client.channels, r.client.deadline)
		}
	}
}

// A connection without a token cannot be renewed: the name of its client is its own word.
func TestAConnectionWithoutATokenIsNotRenewed(t *testing.T) {
	r := newRenewing(t)
	r.token("next", "42", time.Hour, "*")
	r.front.Left(7)
	if got := r.renew("next"); !strings.Contains(got, `"client_mismatch"`) {
		t.Errorf("%q", got)
	}
}

func TestTheClientIsWarnedAndTheConnectionEndsWithTheToken(t *testing.T) {
	r := newRenewing(t)
	r.now = r.now.Add(10*time.Minute - 20*time.Second)
	r.client.written = nil
	r.front.Due(r.client)
	if got := string(r.client.written); !strings.HasSuffix(got, `{"token_expires":{"in":20}}`) || r.client.closed != 0 || r.client.deadline != 20*time.Second {
		t.Errorf("%q, closed %d, deadline %v", got, r.client.closed, r.client.deadline)
	}
	r.now = r.now.Add(20 * time.Second)
	r.front.Due(r.client)
	if r.client.closed != frame.CloseUnauthorized {
		t.Errorf("closed %d", r.client.closed)
	}
	if n := r.stats().Refusals["token_expired"]; n != 1 {
		t.Errorf("%d counted", n)
	}
}

// A poll is answered when the token of its client expires.
func TestAPollEndsWithTheToken(t *testing.T) {
	r := newRenewing(t)
	r.token("short", "42", 3*time.Second, "a*")
	c := r.ask(with("/poll?channel=a1&timeout=60", "Authorization: Bearer short"))
	if c.Verdict != loop.Park || c.Sub.Deadline != 3*time.Second {
		t.Errorf("verdict %d, deadline %v", c.Verdict, c.Sub.Deadline)
	}
	c = r.ask(with("/ws?channel=a1", append(upgradeLines, "Authorization: Bearer short")...))
	if c.Verdict != loop.Stream || c.Sub.Deadline != 3*time.Second {
		t.Errorf("raw: deadline %v: it cannot be warned", c.Sub.Deadline)
	}
}
