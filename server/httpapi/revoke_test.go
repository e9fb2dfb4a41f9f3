package httpapi_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/share"
)

// revoker is a Front that needs tokens, with a table of revocations and connections of
// three users, 42, 43 and "b b", each with an old token and a new one. A token and its
// connection are named by both.
type revoker struct {
	*guarded
	scope *grant.Scope // of all tokens
	table *revoke.Table
	loops *fakeDismisser
	now   int64

	order   *revoke.Order // the last one
	failure error         // of the log
}

func (r *revoker) KeepAway(share.Key, []string, time.Duration, func(error)) []string { return nil }

func (r *revoker) Revoke(o *revoke.Order, done func(error)) bool {
	if _, ok := r.table.Revoke(o); !ok {
		return false
	}
	r.order = o
	go done(r.failure)
	return true
}

func newRevoker(t *testing.T) *revoker {
	r := &revoker{loops: &fakeDismisser{sessions: map[uint64]string{}}, now: time.Now().Unix()}
	r.table = revoke.New(5, time.Hour, time.Now)
	r.guarded = newGuarded(t, func(d *httpapi.Deps) {
		d.Dismisser, d.Orders, d.Identity.Revocations = r.loops, r, r.table
	})
	r.loops.front = r.front
	r.scope = r.tokens.grants["t.o.k"].Scope
	clear(r.tokens.grants)
	for i, sub := range []string{"42", "43", "b b"} {
		for j, issued := range map[string]int64{"old": r.now - 1000, "new": r.now + 2} {
			name := strings.ReplaceAll(sub, " ", "-") + "." + j
			r.tokens.grants[name] = &grant.Grant{Kind: grant.User, Subject: sub, ID: "id " + name, Issued: issued, Scope: r.scope}
			session := uint64(1000 + 10*i + len(r.loops.sessions))
			for range 2 { // again when the token is verified
				call := &loop.Call{In: []byte(getWith("/sse?channel=a", bearing(name))), Conn: loop.Ref{Slot: uint32(session)}, Session: session}
				if r.front.Request(call); call.Verdict == loop.Stream {
					r.loops.sessions[session] = name
					break
				}
				select {
				case <-r.door.again:
				case <-time.After(time.Minute):
					t.Fatalf("%s: %s", name, call.Out)
				}
			}
		}
	}
	if len(r.loops.sessions) != 6 {
		t.Fatalf("%d connections", len(r.loops.sessions))
	}
	return r
}

const withKey = "Authorization: Bearer peal_good\r\n"

func bearing(token string) string { return "Authorization: Bearer " + token + "\r\n" }

// refused are the tokens with which nothing can be done any more.
func (r *revoker) refused() string {
	var all []string
	for name := range r.tokens.grants {
		switch got := r.outcome(getWith("/poll?channel=a", bearing(name))); got {
		case "ok":
		case "401 token_revoked":
			all = append(all, name)
		default:
			r.t.Errorf("%s: %s", name, got)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestRevokeTakesTokensFromQueryFormAndJSON(t *testing.T) {
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	for _, field := range [][2]string{{"sub[0]", "42"}, {"sub[1]", "43"}, {"jti", "id b-b.new"}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	hour := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		request string
		names   int
		ended   string
	}{
		{post("/revoke?sub=42", "", withKey), 1, "42.old"},
		{post("/revoke?sub=42&sub=43&sub=42", "", withKey), 2, "42.old 43.old"},
		{post("/revoke?sub%5B%5D=42&sub[1]=b%20b&x=y", "", withKey), 2, "42.old b-b.old"},
		{post("/revoke?sub=nobody", "", withKey), 1, ""},
		{post("/revoke?jti=id%2042.new", "", withKey), 1, "42.new"},
		{post("/revoke?jti=id%2042.new&sub=43", "", withKey), 2, "42.new 43.old"},
		{post("/revoke?sub=42&before="+fmt.Sprint(time.Now().Unix()+60), "", withKey), 1, "42.new 42.old"},
		{post("/revoke?sub=42&before=0", "", withKey), 1, ""},
		{post("/revoke?sub=42&before="+hour, "", withKey), 1, ""},
		{post("/revoke?sub=42&before="+strings.Replace(hour, "Z", "+00:00", 1), "", withKey), 1, ""}, // the plus is not encoded
		{post("/revoke", "sub=42&sub[]=43", withKey+formType), 2, "42.old 43.old"},
		{post("/revoke", parts.String(), withKey+"Content-Type: "+w.FormDataContentType()+"\r\n"), 3, "42.old 43.old b-b.new"},
		{post("/revoke", `{"sub":"42"}`, withKey+jsonType), 1, "42.old"},
		{post("/revoke", `{"sub":["42","43"],"jti":["id b-b.new"],"before":null,"more":1}`, withKey+jsonType), 3, "42.old 43.old b-b.new"},
		{post("/revoke", fmt.Sprintf(`{"sub":"42","before":%d}`, time.Now().Unix()+60), withKey+jsonType), 1, "42.new 42.old"},
		{post("/revoke", `{"sub":"42","before":"2001-02-03T04:05:06.7+02:00"}`, withKey+jsonType), 1, ""},
	} {
		r := newRevoker(t)
		call := r.ask(c.request)
		if call.Verdict != loop.Later {
			t.Errorf("%s\n%s", c.request, call.Out)
			continue
		}
		n := len(strings.Fields(c.ended))
		want := fmt.Sprintf(`{"revoked":%d,"disconnected":%d}`, c.names, n)
		if got := string(r.door.wait(t)); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\n"+want) {
			t.Errorf("%s\n%s, want %s", c.request, got, want)
		}
		if got := strings.Join(r.loops.ended, " "); got != c.ended {
			t.Errorf("%s\nends %q, want %q", c.request, got, c.ended)
		}
		if e := r.loops.ending; n > 0 && (e.Code != 4410 || !strings.HasPrefix(e.Reason, "token_revoked: ")) {
			t.Errorf("%s\nends them with %+v", c.request, e)
		}
		if got := r.refused(); got != c.ended {
			t.Errorf("%s\nrefuses %q, want %q", c.request, got, c.ended)
		}
	}
}

func TestRevokeRefusesAndDoesNothing(t *testing.T) {
	r := newRevoker(t)
	check := func(request, want string) {
		t.Helper()
		if got := r.outcome(request); got != want {
			t.Errorf("%.200s\n%s, want %s", request, got, want)
		}
		if r.order != nil || r.loops.ended != nil || r.table.Stats().Names > 0 {
			t.Fatalf("%.200s\nit was done: %+v, ended %q", request, r.order, r.loops.ended)
		}
	}
	check(post("/revoke", "", withKey), "400 no_subject")
	check(post("/revoke?client=42", "", withKey), "400 no_subject")
	check(post("/revoke", `{"sub":"42"}`, withKey), "400 no_subject") // without its type
	check(post("/revoke", `{"sub":[]}`, withKey+jsonType), "400 no_subject")
	check(post("/revoke?sub=", "", withKey), "400 bad_sub")
	check(post("/revoke?sub=%00", "", withKey), "400 bad_sub")
	check(post("/revoke?sub="+strings.Repeat("x", 195), "", withKey), "400 bad_sub")
	check(post("/revoke", `{"sub":42}`, withKey+jsonType), "400 bad_sub")
	check(post("/revoke", `{"subs":["42"]}`, withKey+jsonType), "400 bad_sub")
	check(post("/revoke?jti=", "", withKey), "400 bad_jti")
	check(post("/revoke?jti="+strings.Repeat("x", 201), "", withKey), "400 bad_jti")
	check(post("/revoke", `{"jti":[7]}`, withKey+jsonType), "400 bad_jti")
	check(post("/revoke?jti=x&before=1", "", withKey), "400 bad_before")
	for _, before := range []string{"", "-1", "1.5", "yesterday", "2001-02-03", "99999999999999999999", fmt.Sprint(time.Now().UnixMilli()), time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)} {
		check(post("/revoke?sub=42&before="+before, "", withKey), "400 bad_before")
	}
	check(post("/revoke?sub=42&before=1&before=2", "", withKey), "400 contradiction")
	check(post("/revoke", `{"sub":"42","before":true}`, withKey+jsonType), "400 bad_before")
	check(post("/revoke", `{"sub":`, withKey+jsonType), "400 bad_json")
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprint("sub=", i))
	}
	check(post("/revoke", strings.Join(many, "&"), withKey+formType), "400 too_many_tokens")
	check(post("/revoke?sub=1&sub=2&sub=3&jti=1&jti=2&jti=3", "", withKey), "429 revocations_full") // there is room for 5
	check(post("/revoke?sub=42", ""), "401 token_missing")
	check(post("/revoke?sub=42", "", bearing("42.new")), "403 backend_only")
	check(getWith("/revoke?sub=42", withKey), "405 method_not_allowed")
}

// A revocation that the log does not store has its effect all the same, and the
// response says that a restart undoes it.
func TestTheResponseSaysThatARevocationIsNotDurable(t *testing.T) {
	r := newRevoker(t)
	r.failure = log.ErrFull
	r.ask(post("/revoke?sub=42", "", withKey))
	if got := string(r.door.wait(t)); !strings.HasSuffix(got, `{"revoked":1,"disconnected":1,"not_durable":true}`) {
		t.Error(got)
	}
	if got := r.refused(); got != "42.old" {
		t.Errorf("refused %q", got)
	}
	if n := r.front.Stats().Revoked; n != 1 {
		t.Errorf("%d connections were counted", n)
	}
}

func TestRevokeIsRefusedWhileTooManyAreUnderWay(t *testing.T) {
	r := newRevoker(t)
	r.loops.busy = true
	if got := r.outcome(post("/revoke?sub=42", "", withKey)); got != "503 busy" {
		t.Error(got)
	}
}

// A token that is being verified while it is revoked is refused when that is done.
func TestATokenIsRevokedWhileItIsVerified(t *testing.T) {
	r := newRevoker(t)
	r.tokens.grants["late"] = &grant.Grant{Kind: grant.User, Subject: "44", Issued: r.now - 10, Scope: r.scope}
	for _, request := range []string{
		getWith("/sse?channel=a", bearing("late")),
		getWith("/poll?channel=a", bearing("late")),
		"GET /ws?channel=a HTTP/1.1\r\n" + handshake + bearing("late") + "\r\n",
		"GET /ws HTTP/1.1\r\n" + handshake + bearing("late") + "Sec-WebSocket-Protocol: peal.v1\r\n\r\n",
	} {
		r.tokens.mu.Lock()
		clear(r.tokens.cached)
		r.tokens.mu.Unlock()
		if c := r.call(request); c.Verdict != loop.Wait {
			t.Fatalf("%.40q does not wait: %s", request, c.Out)
		}
		r.ask(post("/revoke?sub=44", "", withKey))
		r.door.wait(t)
		<-r.door.again
		if got := r.outcome(request); !strings.HasSuffix(got, " token_revoked") {
			t.Errorf("%.40q: %s", request, got)
		}
	}
}

// The server does not know what was revoked before it started.
func TestTokensFromBeforeTheStartAreRefused(t *testing.T) {
	r := newRevoker(t)
	r.table.Raise(r.now)
	for request, want := range map[string]string{
		getWith("/sse?channel=a", bearing("42.old")):                              "401 control_state_lost",
		getWith("/poll?channel=a", bearing("42.old")):                             "401 control_state_lost",
		"GET /ws?channel=a HTTP/1.1\r\n" + handshake + bearing("42.old") + "\r\n": "4401 control_state_lost",
		"GET /ws?channel=a HTTP/1.1\r\n" + handshake + bearing("42.new") + "\r\n": "ok",
		post("/publish?channel=p", "x", bearing("42.old")):                        "401 control_state_lost",
	} {
		if got := r.outcome(request); got != want {
			t.Errorf("%.40q: %s, want %s", request, got, want)
		}
	}
	r.table.Revoke(&revoke.Order{Subjects: map[string]struct{}{"42": {}}, Before: r.now + 100})
	if got := r.outcome("GET /ws?channel=a HTTP/1.1\r\n" + handshake + bearing("42.new") + "\r\n"); got != "4410 token_revoked" {
		t.Error(got)
	}
}

// A connection with a token is found by its sub, though it sends no client.
func TestDisconnectFindsTheNameOfAToken(t *testing.T) {
	r := newRevoker(t)
	check := func(clients, want string) {
		t.Helper()
		var got []string
		for session, name := range r.loops.sessions {
			if r.front.Dismiss(session, set(strings.Split(clients, ",")...)) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", clients, got, want)
		}
	}
	check("42", "42.new 42.old")
	check("b b,43", "43.new 43.old b-b.new b-b.old")
	check("4,421", "")
}

// What is revoked is not cached any more, and the rest is.
func TestRevokedTokensLeaveTheCache(t *testing.T) {
	r := newRevoker(t)
	r.ask(post("/revoke?sub=42", "", withKey))
	r.door.wait(t)
	select {
	case <-r.tokens.dropped:
	case <-time.After(time.Minute):
		t.Fatal("nothing is dropped")
	}
	r.tokens.mu.Lock()
	defer r.tokens.mu.Unlock()
	if r.tokens.cached["42.old"] || !r.tokens.cached["42.new"] || len(r.tokens.cached) != 5 {
		t.Errorf("cached: %v", r.tokens.cached)
	}
}
