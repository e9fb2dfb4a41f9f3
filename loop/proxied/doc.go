// Package proxied is the PROXY protocol below the loop: a proxy that forwards bytes,
// such as a TCP load balancer or one that leaves TLS to the server, names its client in
// a header before them (version 1 is a line of text, version 2 is binary).
//
//   - Layer: a layer below the loops (loop.Kernel), and below TLS, because the header is
//     not encrypted.
//   - Begins: whether bytes have the form of such a header, for an error that says so.
//
// Only connections of trusted peers are looked at, and a header is optional there: the
// health checks of many proxies have none. The loop gets the client's address by
// Handler.Peer and reads on behind the header. The command LOCAL, the protocols UNKNOWN
// and UNSPEC name nobody: the connection keeps the address of the proxy. A client of a Unix
// socket of the proxy has no address. A checksum (CRC-32C) must be
// right; other TLVs are passed over.
//
// A header has at most MaxHeader bytes and must be whole within a time from its first
// byte; otherwise, and if it is malformed, the connection is closed. What has come of it
// is kept meanwhile, and nothing of a connection behind its header. The connections of
// others cost one look at a bit for each read.
//
// Concurrency: each kernel belongs to its loop. A bit for each socket, which the
// accepting loop sets and the owner of the socket clears, and the counters are shared.
package proxied
