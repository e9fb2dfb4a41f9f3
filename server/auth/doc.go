// Package auth decides who may talk to the server. For now everything is open,
// so it decides only from where: which web pages, and under which host name.
//
// Its nouns are the origin, the page that makes a browser send a request, and
// the host, the name under which the client believes to talk to us. A developer
// server listens on loopback, where every web site that the developer visits
// can reach it through the browser. [OriginAllowed] keeps their scripts out;
// [HostAllowed] keeps out DNS rebinding, where a site's own name suddenly
// resolves to 127.0.0.1 and its origin therefore equals the host. A [Policy] is
// both and what the operator adds; every listener asks its Judge.
//
// All functions are pure and make no garbage; any goroutine may call them.
package auth
