// Package apikey has the keys with which backends prove who they are.
//
// A key is text: peal_, 43 digits of base 62 that are 256 random bits, and 6 digits
// that are the CRC-32 of what precedes them. A scanner of source code recognises keys
// by it, and the server tells a key that was copied wrongly from one that it does not
// know. The configuration has the digest of a key only.
//
// Its nouns. A [Definition] is a key in the configuration: name, digest, and what it
// allows. A [Table] finds the grant of a key that a request has sent, and counts its
// uses. A [Use] is the count of one key.
//
// What it leaves to others: reading definitions (server/settings), taking the key out
// of a request (server/httpapi), and deciding what a grant allows (server/permit).
//
// A Table never changes, except for its counts, which are atomic: any goroutine may
// call its methods. A key is revoked by a new Table without it.
package apikey
