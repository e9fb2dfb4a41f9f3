// Package certificate keeps the certificates of a listener, and makes the one *tls.Config
// that all its connections use.
//
// Its nouns. A [Pair] is a certificate file with its key file. A [Store] has those of a
// [Config] in a table by name and finds the one for a handshake: exact names go before
// wildcards, and the first pair is for clients that send no name or an unknown one. ACME
// is a source of further certificates, one for each domain.
//
//   - Files are looked at every few seconds. What changed is loaded completely and
//     replaces the table at once. While a pair does not fit together, as in the middle of
//     a renewal, the old one stays; if that lasts, one line of the log has the reason.
//     Reload does the same at once, and returns the error.
//   - A config is never cloned or replaced, so session tickets of before a reload are
//     accepted after it. Their keys are replaced by time: see tickets.go.
//   - A handshake never waits for the network. Certificates from ACME are obtained and
//     renewed by goroutines of Run; until there is one, a handshake for its name fails at
//     once. Challenges of TLS-ALPN-01 are answered from memory, or from the directory.
//
// Errors and lines of the log name the file, the fault, and what to change. They have no
// content of a key file.
//
// Concurrency: handshakes read the table through an atomic pointer. Reload and Run take a
// lock of their own, which no handshake takes. Stats may be called by any goroutine.
package certificate
