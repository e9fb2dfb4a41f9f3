package outside

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"

	"peal/cmd/peal/doctor"
)

// arrive checks that requests reach Peal, and what the visitor may do there. It
// reports false if they do not.
func (e *examination) arrive(ctx context.Context) bool {
	const check = "route"
	r := e.peek(ctx, nil)
	switch {
	case r.code == "not_found":
		e.fault(check, "Peal responds with 404 not_found: the path "+e.URL.JoinPath("poll").Path+" arrives changed or with a prefix", "Peal serves its paths at the root", noRoute)
		return false
	case r.code == "host_not_allowed":
		return e.refusedHost()
	case !r.ofPeal():
		e.fault(check, "GET "+e.URL.JoinPath("poll").Path+": "+r.String(), "requests do not reach Peal: 502 and 504 are of a proxy that cannot connect to it", noRoute)
		return false
	}
	e.fine(check, "Peal responds in %s", r.took.Round(10_000))
	e.rights(r)
	return true
}

// refusedHost explains 403 host_not_allowed.
func (e *examination) refusedHost() bool {
	const why = "without --auth token or --open, Peal responds to IP addresses and localhost only, because a web site could otherwise use a developer's server"
	if host := e.URL.Hostname(); host == "localhost" || net.ParseIP(host) != nil {
		e.fault("host", "403 host_not_allowed: the proxy sends another Host than "+e.URL.Host, why, otherHost)
		return false
	}
	e.add(doctor.Fail("host", "403 host_not_allowed for "+e.URL.Host, why, "peal serve --auth token  (docs/security.md), or --open if everybody may do everything"))
	return false
}

// rights is what the visitor's token is good for.
func (e *examination) rights(r response) {
	const check = "token"
	_, proof := e.Header["Authorization"]
	switch {
	case r.refused() && !proof:
		e.denied = fmt.Sprintf("the server needs a token (%s): give one with --token-file or PEAL_TOKEN, and a channel of it with --channel", r.code)
		e.skip(check, "%s", e.denied)
	case r.code == "token_missing":
		e.denied = "the token does not reach Peal: see authorization"
		e.skip(check, "%s", e.denied)
	case r.refused():
		e.denied = fmt.Sprintf("the token was refused (%s)", r.code)
		f := doctor.Fail(check, fmt.Sprintf("%s: %s", r, r.message), "its user gets nothing", "peal token --sub 42 --subscribe '"+e.Channel+"'  makes one for this channel")
		if r.code == "not_allowed" {
			f.Fix = []string{"--channel, with a channel that the token grants (peal.subscribe)"}
		}
		e.add(f)
	case r.status != http.StatusOK:
		e.denied = "a poll gets " + r.String()
		e.add(doctor.Fail(check, fmt.Sprintf("%s: %s", r, r.message), "clients that do the same get this error", "docs/protocol.md lists the codes and what to do"))
	default:
		e.reader = true
		if proof {
			e.fine(check, "accepted for %s; browsers that send it as ?token= leave it in the logs of proxies", e.Channel)
		} else {
			e.skip(check, "not needed for %s", e.Channel)
		}
	}
}

// keepAlive checks that a second request uses the same connection.
func (e *examination) keepAlive(ctx context.Context) {
	const check = "keep-alive"
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
	e.peek(ctx, nil)
	r := e.peek(httptrace.WithClientTrace(ctx, trace), nil)
	switch {
	case r.err != nil:
		e.fault(check, r.String(), "a repeated request fails", noKeepAlive)
	case !reused && r.refused():
		e.skip(check, "%s", e.denied) // Peal closes after some refusals
	case !reused:
		e.cost(check, "each request needs a new connection", "long polls and publications pay a TCP and a TLS handshake each", noKeepAlive)
	default:
		e.fine(check, "connections are used again (%s)", r.proto)
	}
}

// caches checks that no two polls share a response.
func (e *examination) caches(ctx context.Context) {
	const check = "cache"
	first, second := e.peekAt(ctx, "same", nil), e.peekAt(ctx, "same", nil)
	a, b := first.header.Get("Peal-Session"), second.header.Get("Peal-Session")
	switch {
	case !e.reader:
		e.skip(check, "%s", e.denied)
	case a == "" || b == "":
		e.fault(check, "the header Peal-Session does not arrive", "clients that poll do not learn the session that is theirs", cached)
	case a == b || second.header.Get("Age") != "":
		e.fault(check, "a second poll gets the response of the first", "subscribers get old messages again, and those of other users", cached)
	default:
		e.fine(check, "polls are not cached")
	}
}

// lastEventID checks that the header arrives: with an unknown one the response is a gap.
func (e *examination) lastEventID(ctx context.Context) {
	const check = "last-event-id"
	if !e.reader {
		e.skip(check, "%s", e.denied)
		return
	}
	r := e.ask(ctx, e.Patience, http.MethodGet, "poll", map[string][]string{"timeout": {"1"}}, "", http.Header{"Last-Event-Id": {"peal-doctor"}})
	var body struct{ Gap []json.RawMessage }
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != http.StatusOK {
		e.fault(check, r.String(), "an EventSource that reconnects sends this header", noEventID)
		return
	}
	if len(body.Gap) == 0 {
		e.fault(check, "the header does not reach Peal", "an EventSource that reconnects misses what was published meanwhile, without a gap", noEventID)
		return
	}
	e.fine(check, "the header reaches Peal")
}

// authorization checks that the header arrives: a wrong token must be refused otherwise
// than none.
func (e *examination) authorization(ctx context.Context) {
	const check = "authorization"
	if e.reader && e.Header.Get("Authorization") != "" {
		if bare := e.peek(ctx, http.Header{"Authorization": nil}); bare.refused() {
			e.fine(check, "the header reaches Peal")
			return
		}
	}
	wrong := e.peek(ctx, http.Header{"Authorization": {"Bearer peal-doctor"}})
	bare := e.peek(ctx, http.Header{"Authorization": nil})
	switch {
	case wrong.err != nil || !wrong.ofPeal():
		e.fault(check, "a request with Authorization gets "+wrong.String(), "tokens and keys come in this header", noAuthorization)
	case wrong.refused() && wrong.code != bare.code:
		e.fine(check, "the header reaches Peal")
	case wrong.refused():
		e.fault(check, fmt.Sprintf("with a token and without, Peal responds %s: the header does not arrive", wrong), "tokens and keys come in this header", noAuthorization)
	default:
		e.skip(check, "this server verifies no tokens, or the header does not arrive: there is no difference")
	}
}

// largeHead checks that a large token passes.
func (e *examination) largeHead(ctx context.Context) {
	const check, size = "large-headers", 4 << 10
	r := e.peek(ctx, http.Header{"X-Peal-Doctor": {strings.Repeat("x", size)}})
	switch {
	case r.code == "head_too_large":
		e.add(doctor.Fail(check, r.String(), "tokens with many channels, and cookies of other applications, are as large", "--head-bytes 8KiB, or more"))
	case !r.ofPeal():
		e.fault(check, fmt.Sprintf("a header of %d KiB gets %s", size>>10, r), "tokens with many channels, and cookies of other applications, are as large", smallHead)
	default:
		e.fine(check, "a header of %d KiB passes", size>>10)
	}
}
