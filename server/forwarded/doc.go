// Package forwarded finds the client behind trusted proxies.
//
//   - Trusted: the addresses of the proxies that the operator trusts, and whether the
//     clients of Unix sockets are such proxies.
//   - Read: who sent a request, by X-Forwarded-For and Forwarded (RFC 7239) in its head,
//     as a Client.
//
// Each proxy appends the address that it sees to the list of those before it. What a
// client sends itself is therefore on the left of what trusted proxies have added, and
// the list is read from the right: the first address that is no trusted proxy's is the
// client. An element that is not understood ends the search, and what is right of it
// counts. If all are trusted, the left-most is the client.
//
// The caller has checked that the connection itself comes from a trusted proxy, and
// that the head is well-formed (httpapi.Head.Check).
//
// Concurrency: values and pure functions; any goroutine.
package forwarded
