package httpapi_test

import (
	"strings"
	"testing"

	"peal/loop"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/permit"
)

// A user has so many streams, polls and WebSockets at a time, on all transports together.
func TestConnectionsOfAUser(t *testing.T) {
	users := permit.NewUsers()
	h := newGuarded(t, func(d *httpapi.Deps) { d.Users, d.UserConnections = users, 3 })
	for text, user := range map[string]string{"mine": "42", "other": "43"} {
		scope, err := grant.NewScope(map[grant.Action][]string{grant.Subscribe: {"a*"}})
		if err != nil {
			t.Fatal(err)
		}
		h.tokens.grants[text] = &grant.Grant{Kind: grant.User, Subject: user, Scope: scope}
		h.tokens.cached[text] = true
	}
	session := uint64(0)
	ask := func(in string) *loop.Call {
		session++
		call := &loop.Call{In: []byte(in), Conn: loop.Ref{Slot: 7, Generation: 1}, Session: session}
		h.front.Request(call)
		return call
	}
	get := func(path, token string) string {
		return "GET " + path + "?channel=a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	}
	socket := webSocket("/ws?channel=a", "Sec-WebSocket-Protocol: peal.v1, peal.token.mine")
	for i, c := range []struct {
		in   string
		want loop.Verdict
	}{{get("/sse", "mine"), loop.Stream}, {get("/poll", "mine"), loop.Park}, {socket, loop.Stream}} {
		if got := ask(c.in); got.Verdict != c.want || !got.Sub.Named {
			t.Fatalf("request %d: verdict %d, %q", i, got.Verdict, got.Out)
		}
	}
	refused := func(in, want string) {
		t.Helper()
		if got := ask(in); got.Sub != nil || !strings.Contains(string(got.Out), want) {
			t.Errorf("%.30q: verdict %d, %q, want %q", in, got.Verdict, got.Out, want)
		}
	}
	refused(get("/poll", "mine"), "HTTP/1.1 429 ")
	refused(get("/poll", "mine"), "too_many_connections")
	refused(get("/sse", "mine"), "HTTP/1.1 200 ")
	refused(socket, string([]byte{4429 >> 8, 4429 & 0xFF})+"too_many_connections")
	if n := users.Refused(); n != 4 {
		t.Errorf("%d refusals are counted, want 4", n)
	}
	if got := ask(get("/poll", "other")); got.Verdict != loop.Park {
		t.Errorf("another user: %q", got.Out)
	}
	h.front.Left(2) // the poll has its response
	h.front.Left(2)
	if got := ask(get("/sse", "mine")); got.Verdict != loop.Stream {
		t.Errorf("after one has ended: %q", got.Out)
	}
	refused(get("/poll", "mine"), "HTTP/1.1 429 ")
	for s := range session + 1 {
		h.front.Left(s)
	}
	if n := users.Len(); n != 0 {
		t.Errorf("%d users are counted after all connections have ended", n)
	}
}
