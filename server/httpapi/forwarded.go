package httpapi

import (
	"peal/loop/proxied"
	"peal/server/refusal"
)

// Found in what proxies say about clients.
var (
	errForwarding  = &refusal.Error{Status: 400, Code: "bad_forwarding", Message: "the headers X-Forwarded-For and Forwarded name different clients: let the proxy remove the one that it does not write itself"}
	errProxyHeader = &refusal.Error{Status: 400, Code: "untrusted_proxy", Message: "the connection begins with a header of the PROXY protocol, and its sender was not in trusted-proxies when the server started or the connection came: add the address of the proxy, or turn the header off there"}
)

// Names for the line about what is ignored.
const (
	forwardingHeaders = "X-Forwarded-For, X-Forwarded-Proto or Forwarded"
	proxyHeader       = "PROXY protocol"
)

// findClient finds out who sent the request, if it came through a trusted proxy, and
// whether over TLS. head is checked.
func (x *exchange) findClient(head []byte) *refusal.Error {
	c := x.call
	switch {
	case !x.head.forwarding:
		return nil
	case c.Trusted:
	case c.Named: // by a PROXY header: the client may send the others itself
		return nil
	default:
		x.deps.Proxies.Ignore(c.Peer.Addr(), forwardingHeaders)
		return nil
	}
	found, err := x.deps.Proxies.Read(head)
	if err != nil {
		return errForwarding
	}
	x.https = x.https || found.HTTPS
	if found.Addr.IsValid() {
		x.client, c.Client = found.Addr, found.Addr
	}
	return nil
}

// unlessProxied is the fault of a head that is none, or another one if it is the header
// of a proxy that is not trusted.
func (x *exchange) unlessProxied(fault *refusal.Error) *refusal.Error {
	if !proxied.Begins(x.call.In) {
		return fault
	}
	x.deps.Proxies.Ignore(x.call.Peer.Addr(), proxyHeader)
	return errProxyHeader
}
