package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"peal/server/apikey"
	"peal/server/grant"
	"peal/server/identity"
	"peal/server/rules"
)

// checkAccess reports what is wrong with the settings about who may do what.
func (c Config) checkAccess() (errs []error) {
	if c.Auth != "" && c.Auth != AuthOpen && c.Auth != AuthToken {
		errs = append(errs, fmt.Errorf("config: auth %q: must be open or token", c.Auth))
	}
	if c.Auth == AuthToken && !c.Token.Configured() && len(c.Keys) == 0 && len(c.Apps) == 0 && c.App == "" {
		errs = append(errs, errors.New("config: auth token: nothing could prove that a client may do anything: set token-secret, token-secret-file, token-key or token-jwks, or add keys or apps"))
	}
	tokens := c.Token
	tokens.Log = slog.New(slog.DiscardHandler) // New logs its warnings
	if err := tokens.Validate(); err != nil {
		for _, fault := range err.(interface{ Unwrap() []error }).Unwrap() { // they are joined
			errs = append(errs, fmt.Errorf("config: %w", fault))
		}
	}
	if !isCookieName(c.TokenCookie) {
		errs = append(errs, fmt.Errorf("config: token-cookie %q: must be a name of letters, digits, - and _, or off", c.TokenCookie))
	}
	return errs
}

// isCookieName reports whether text names a cookie, or is empty.
func isCookieName(text string) bool {
	for _, c := range []byte(text) {
		if c != '-' && c != '_' && (c < '0' || '9' < c && c < 'A' || 'Z' < c && c < 'a' || 'z' < c) {
			return false
		}
	}
	return true
}

// identity is how clients prove who they are. c has its defaults.
func (s *Server) identity(c Config) identity.Identity {
	id := identity.Identity{
		NeedsToken:  c.Auth == AuthToken,
		Verifiers:   s.verifiers,
		Revocations: s.revoked,
		Cookie:      c.TokenCookie,
		Query:       c.TokenQuery == rules.Yes,
		Keys:        backendKeys{&s.backends},
	}
	if id.Cookie == NoCookie {
		id.Cookie = ""
	}
	if c.Token.Configured() {
		id.Tokens = s.tokens
	}
	id.Mercure = s.mercure(c)
	return id
}

// warnIfPublic logs that clients without a token may do everything on an address that
// others can reach.
func (s *Server) warnIfPublic() {
	if s.config.Auth != AuthOpen {
		return
	}
	for _, a := range s.addrs {
		at, ok := a.(*net.TCPAddr)
		if ok && !at.IP.IsLoopback() {
			s.config.Log.Warn("anyone who can reach this address may subscribe, publish and disconnect: start the server with --auth token, or let only your proxy reach it", "address", at.String())
			return
		}
	}
}

// backendKeys finds keys in the table that is in force.
type backendKeys struct{ table *atomic.Pointer[apikey.Table] }

func (k backendKeys) Find(text []byte) (*grant.Grant, bool) { return k.table.Load().Find(text) }
func (k backendKeys) Len() int                              { return k.table.Load().Len() }
