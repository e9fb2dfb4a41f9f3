package token

import (
	"peal/loop/frame"
	"peal/server/refusal"
)

func invalid(message string) *refusal.Error {
	return &refusal.Error{Status: 401, Code: "token_invalid", Message: message, Close: frame.CloseUnauthorized}
}

// Found in tokens. A message never contains a part of the token.
var (
	ErrExpired   = &refusal.Error{Status: 401, Code: "token_expired", Message: "the token has expired (exp): get a new one from the application", Close: frame.CloseUnauthorized}
	ErrNotYet    = &refusal.Error{Status: 401, Code: "token_not_yet_valid", Message: "the token is not valid yet (nbf): use it later, or set the clocks of the signer and of Peal (token-leeway)", Close: frame.CloseUnauthorized}
	ErrIssuedYet = &refusal.Error{Status: 401, Code: "token_not_yet_valid", Message: "the token was issued in the future (iat): set the clocks of the signer and of Peal (token-leeway)", Close: frame.CloseUnauthorized}

	// ErrNoKeys refuses a token of an issuer whose keys cannot be read at the moment.
	ErrNoKeys = &refusal.Error{Status: 503, Code: "token_keys_unavailable", Message: "the key of the token cannot be looked up at the moment (token-jwks): try again later", Close: frame.CloseTryAgainLater}

	errTooLong   = invalid("a token has at most 6 KiB: grant patterns instead of lists of channels")
	errForm      = invalid("a token is a signed JWT in the compact form: three parts of base64url without padding, separated by dots")
	errHeader    = invalid("the header of the token must be a JSON object (RFC 7493) without a name twice, with alg and, optionally, kid as strings")
	errAlgorithm = invalid("alg must be HS256, RS256, ES256 or EdDSA")
	errOwnKey    = invalid("the header of the token has its own key or address of a key (jwk, jku, x5u, x5c): sign with a key that the configuration has")
	errCritical  = invalid("the header of the token has crit: no extension is supported")
	errNoKey     = invalid("the configuration has no key for the alg, iss and kid of the token: sign with a key of token-secret, token-key or token-jwks")
	errNoKid     = invalid("the header of the token needs kid, because the JWKS of its issuer has several keys")
	errSignature = invalid("the signature of the token is wrong: sign with a key of token-secret, token-key or token-jwks")

	errClaims   = invalid("the claims of the token must be a JSON object (RFC 7493) without a name twice")
	errTimes    = invalid("exp, nbf and iat must be whole seconds since 1970, without quotes and fractions")
	errNoExp    = invalid("the token has no exp: sign it with a time of expiry")
	errTooLate  = invalid("the token lives longer than token-lifetime (exp): sign it for a shorter time")
	errIssuer   = invalid("iss must be a token-issuer of the configuration")
	errAudience = invalid("aud must be, or contain, a token-audience of the configuration")
	errSubject  = invalid("sub must be a string of 1 to 194 bytes of the characters of channel names (a number needs quotes)")
	errID       = invalid("jti must be a string of 1 to 200 bytes of the characters of channel names")
	errPeal     = invalid("peal must be an object with the members subscribe, publish, presence (arrays of patterns) and info (an object)")
	errPatterns = invalid("peal has more than 100 patterns: use * in them")
	errReserved = invalid("a pattern of peal begins with $: these channels are the server's, and $me is granted to every user")
	errInfo     = invalid("info of peal has more than 1,024 bytes of JSON")
)
