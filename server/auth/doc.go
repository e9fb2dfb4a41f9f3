// Package auth decides from which web pages, and under which host name, the server
// accepts requests: by origin and host. What their clients may do is for package
// permit to decide.
//
// Its nouns are the origin, the page that makes a browser send a request, and
// the host, the name by which the client addresses the server. A developer's
// server listens on loopback, where every web site that the developer visits
// can reach it through the browser. [OriginAllowed] refuses their scripts;
// [HostAllowed] prevents DNS rebinding, where a site's own name resolves to
// 127.0.0.1 and its origin therefore equals the host. A [Policy] combines both with
// the operator's settings, a list of hosts and one of origins with wildcards (see
// [CheckOrigin]); every listener calls its Judge.
//
// All functions are pure and do not allocate; any goroutine may call them.
package auth
