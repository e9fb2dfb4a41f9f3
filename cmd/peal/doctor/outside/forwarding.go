package outside

import (
	"context"
	"net/http"
)

// forwarding checks whether a client can name itself. Peal refuses a request whose two
// headers disagree, if it trusts the proxy, so that shows whether both arrive.
func (e *examination) forwarding(ctx context.Context) {
	const check = "forwarded"
	// Addresses of RFC 5737, which are of nobody.
	r := e.peek(ctx, http.Header{"X-Forwarded-For": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.10"}})
	if r.code != "bad_forwarding" {
		e.fine(check, "no Forwarded header of a client reaches Peal, or Peal trusts no proxy (trusted-proxies)")
		return
	}
	if e.kind == none {
		e.skip(check, "Peal trusts the address of this machine itself (trusted-proxies): visit it from another one")
		return
	}
	e.cost(check, "a Forwarded header of a client reaches Peal, which trusts the proxy",
		"requests that have it get 400 bad_forwarding; and if the proxy does not append to X-Forwarded-For, a client can choose its address and avoid all limits for one address", forwards)
}
