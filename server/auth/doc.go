// Package auth decides which requests the server accepts. There are no tokens yet,
// so it decides by origin and host only: from which web pages, and under which host
// name.
//
// Its nouns are the origin, the page that makes a browser send a request, and
// the host, the name by which the client addresses the server. A developer's
// server listens on loopback, where every web site that the developer visits
// can reach it through the browser. [OriginAllowed] refuses their scripts;
// [HostAllowed] prevents DNS rebinding, where a site's own name resolves to
// 127.0.0.1 and its origin therefore equals the host. A [Policy] combines both with
// the operator's settings; every listener calls its Judge.
//
// All functions are pure and do not allocate; any goroutine may call them.
package auth
