// Package outbound is how the server sends requests to backends that its operator has named:
// for webhooks, and when it asks a backend.
//
//   - NewClient: a client without proxies and redirects, which connects to public addresses
//     only unless it is allowed others ([Guard]).
//   - Sign, ParseSecret, CheckSecret: the signature of Standard Webhooks, and its secrets.
//   - CheckURL, Redacted, Explain: URLs and errors for people, without what may be secret.
//
// What is sent, when, and what a response means is left to the packages that send. All
// functions may be called by any goroutine.
package outbound
