// Package token verifies the tokens of end users: JWTs that the application signs,
// with the channels that a browser may use.
//
// Its nouns. A [Config] is the settings token-…, which name secrets, key files and
// JWKS. A [Verifier] has their keys, and remembers the tokens that it verified. The
// result is a grant.Grant: no type of the JWT or JWK library leaves this package.
// [Sign] makes tokens for development and tests.
//
// A token is refused in this order: its size and alphabet, its header, its claims,
// its signature. So an expired token, which thousands of clients present after an
// outage, costs no cryptography. The application makes its tokens by program, so
// everything is read strictly: no name twice, times in whole seconds, no unknown
// member of the claim peal.
//
//   - alg is HS256 (token-secret), RS256, ES256 or EdDSA (token-key, token-jwks), and
//     decides which keys are tried: a secret is never a public key, nor the other way.
//   - All secrets, or all keys of token-key that fit alg, are tried in their order; of
//     JWKS, only those of the token's iss with the token's kid. A token without kid
//     needs a set with one key that fits.
//   - A key that comes with the token (jwk, jku, x5u, x5c) and crit are refused.
//
// Verify computes and is for workers. If a JWKS lacks a kid, one caller at a time
// waits up to a second for its URL, at most every ten seconds; the others get an
// error to try again with. The keys of a URL that fails stay. Cached is for loops: it
// takes a lock for the time of a look into a map. Lock order: a shard of the cache,
// then scopes.
//
// What it leaves to others: where a token comes from in a request (server/httpapi),
// what a grant permits (server/permit), and revocation (server/revoke), which uses
// Drop.
package token
