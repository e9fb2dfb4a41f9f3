// Package share decides whose quota a client uses.
//
//   - Key: the name of one share. Clients with the same key use the same share of
//     a table or of a limit: connections, requests and entries are counted by it.
//   - Of: the one function that turns a client into its key.
//   - Ledger: what each share holds of one table, and which holds the most.
//
// A table or queue that clients fill divides its room by Key first and, inside
// one share, by connection (the session). One client, and one address with many
// connections, can then fill its own share only; when the whole is full, the
// largest holder of the largest share is evicted, never a small one.
//
// Today a key is derived from the network address. Tokens and API keys will take
// precedence over the address here, and nowhere else.
//
// Concurrency: values and pure functions; any goroutine.
package share
