package outside

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"peal/cmd/peal/doctor"
)

// own is the origin of pages below the URL.
func (e *examination) own() string { return e.URL.Scheme + "://" + e.URL.Host }

// host checks that Peal sees the host of the URL: it admits pages of its own host.
func (e *examination) host(ctx context.Context) {
	const check = "host"
	r := e.peek(ctx, http.Header{"Origin": {e.own()}})
	switch {
	case r.code != "origin_not_allowed":
		e.fine(check, "pages of %s are admitted", e.own())
	case e.Origin != "" && e.Origin != e.own():
		e.skip(check, "pages of %s are not admitted, and you have named another origin", e.own())
	default:
		e.fault(check, "403 origin_not_allowed for pages of "+e.own()+" itself: the proxy sends another Host, or this server admits no pages of its own host (--auth open)", "pages that are served under this URL cannot connect, and cookies with tokens do not count", otherHost)
		f := &e.findings[len(e.findings)-1]
		f.Fix = []string{"or, if the proxy keeps the Host: --allow-origin " + e.own()}
	}
}

// pages checks what a page of an origin gets: one header, with that origin or a star.
func (e *examination) pages(ctx context.Context) {
	const check = "cors"
	origin := e.Origin
	if origin == "" {
		origin = e.own()
	}
	r := e.peek(ctx, http.Header{"Origin": {origin}})
	values := r.header.Values("Access-Control-Allow-Origin")
	switch {
	case len(values) > 1 || len(values) == 1 && strings.Contains(values[0], ","):
		e.fault(check, fmt.Sprintf("Access-Control-Allow-Origin is there %d times: %s", max(2, len(values)), strings.Join(values, ", ")), "browsers refuse a response with two of them", doubledCORS)
	case r.code == "origin_not_allowed" && len(values) > 0:
		e.fault(check, "Peal refuses pages of "+origin+", and the proxy allows them", "one place should decide, and only Peal sees WebSockets", doubledCORS)
	case r.code == "origin_not_allowed" && e.Origin == "":
		e.skip(check, "name the origin of your pages with --origin https://…")
	case r.code == "origin_not_allowed":
		e.add(doctor.Fail(check, "403 origin_not_allowed for "+origin, "pages of this origin cannot use the server", "--allow-origin "+origin))
	case len(values) == 0:
		e.fault(check, "a request of "+origin+" gets no Access-Control-Allow-Origin", "scripts of this origin cannot read the response", doubledCORS)
	case values[0] != origin && values[0] != "*":
		e.fault(check, fmt.Sprintf("Access-Control-Allow-Origin is %s for %s", values[0], origin), "scripts of this origin cannot read the response", doubledCORS)
	case values[0] == "*" && r.header.Get("Access-Control-Allow-Credentials") != "":
		e.fault(check, "Access-Control-Allow-Origin is * beside Access-Control-Allow-Credentials", "browsers refuse that for requests with cookies", doubledCORS)
	default:
		e.fine(check, "pages of %s may read the responses (%s)", origin, values[0])
	}
}

// preflight checks the request that browsers send before one with Authorization.
func (e *examination) preflight(ctx context.Context) {
	const check = "preflight"
	origin := e.Origin
	if origin == "" {
		origin = e.own()
	}
	r := e.ask(ctx, e.Patience, http.MethodOptions, "poll", nil, "", http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}, "Authorization": nil,
	})
	allowed := strings.ToLower(strings.Join(r.header.Values("Access-Control-Allow-Headers"), ","))
	switch {
	case r.code == "origin_not_allowed":
		e.skip(check, "pages of %s are not admitted", origin)
	case r.err != nil || r.status/100 != 2:
		e.fault(check, "OPTIONS gets "+r.String(), "browsers send it before a request with a token, and give up", noPreflight)
	case !strings.Contains(allowed, "authorization"):
		e.fault(check, "the response to OPTIONS does not allow Authorization", "scripts cannot send a token", noPreflight)
	case len(r.header.Values("Access-Control-Allow-Origin")) > 1:
		e.skip(check, "Access-Control-Allow-Origin is there %d times: see cors", len(r.header.Values("Access-Control-Allow-Origin")))
	case len(r.header.Values("Access-Control-Allow-Origin")) == 0:
		e.fault(check, "the response to OPTIONS has no Access-Control-Allow-Origin", "browsers refuse it", noPreflight)
	default:
		e.fine(check, "OPTIONS is answered by Peal")
	}
}

// redirect checks what http:// does beside https:// on the usual ports.
func (e *examination) redirect(ctx context.Context) {
	const check = "redirect"
	if e.URL.Scheme != "https" || e.URL.Port() != "" && e.URL.Port() != "443" || e.Connect != "" {
		return
	}
	plain := *e
	u := *e.URL
	u.Scheme, u.Host = "http", u.Hostname()
	if strings.Contains(u.Host, ":") {
		u.Host = "[" + u.Host + "]"
	}
	plain.URL, plain.Header = &u, nil // the token stays off this connection
	if host, _, err := net.SplitHostPort(e.target); err == nil {
		plain.target = net.JoinHostPort(host, "80")
	}
	plain.plain = plain.client(false)
	defer plain.plain.CloseIdleConnections()
	r := plain.ask(ctx, e.Patience, http.MethodGet, "", nil, "", nil)
	location := r.header.Get("Location")
	switch {
	case r.err != nil:
		e.fine(check, "http:// is closed")
	case r.status/100 == 3 && strings.HasPrefix(location, "https://"):
		e.fine(check, "http:// leads to https:// (%d)", r.status)
	default:
		e.add(doctor.Warn(check, "http:// responds with "+r.String(), "clients that use it send their tokens in clear text", "peal serve --http-redirect :80; nginx: return 301 https://$host$request_uri;   HAProxy: http-request redirect scheme https"))
	}
}
