// Package identity is how clients prove who they are, whatever transport carries the
// proof.
//
// Its noun is the [Identity] of a server: what verifies tokens, what knows keys, and
// what is needed. The result of a proof is a grant.Grant; what it allows is decided by
// server/permit. Where a request carries its proof is known to server/httpapi, and the
// renewal of a token on a live connection to server/command.
//
// An Identity is a value that each loop copies; what it points to is shared and may be
// used by any goroutine.
package identity
