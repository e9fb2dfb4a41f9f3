package server

import (
	"fmt"
	"log/slog"
	"time"

	"peal/server/identity"
	"peal/server/mercure/subscription"
	"peal/server/rules"
	"peal/server/token"
)

// Mercure is the settings of the Mercure protocol, which is on if one of them lets
// somebody publish or subscribe.
type Mercure struct {
	// Publisher and Subscriber have the keys of the tokens of each. Without any, none are
	// verified. Leeway and the limits of the caches are those of Config.Token.
	Publisher, Subscriber MercureKeys

	// Anonymous lets clients without a token subscribe to public updates.
	Anonymous bool

	// Cookie is the name of the cookie that may carry a token, default
	// "mercureAuthorization", "off" for none. Query is whether ?authorization= may;
	// default Yes.
	Cookie string
	Query  rules.Choice

	// Subscriptions is how many subscriptions are listed and have events, 0 for none. Fixed.
	Subscriptions int
}

// MercureKeys are fields of token.Config. See there.
type MercureKeys struct {
	Secrets            []string
	SecretFile         string
	Keys, JWKS         []string
	Issuers, Audiences []string
}

func (k MercureKeys) config(c Config, prefix string) token.Config {
	t := c.Token
	t.Prefix, t.Form = prefix, token.Mercure
	t.Secrets, t.SecretFile, t.Keys, t.JWKS, t.Issuers, t.Audiences = k.Secrets, k.SecretFile, k.Keys, k.JWKS, k.Issuers, k.Audiences
	return t
}

func (k MercureKeys) configured() bool { return k.config(Config{}, "").Configured() }

// MercureFiles are the files that the settings of the Mercure protocol name.
func (c Config) MercureFiles() []string {
	publisher, subscriber := c.mercureTokens()
	return append(publisher.Files(), subscriber.Files()...)
}

// isOn reports whether the protocol is served.
func (m Mercure) isOn() bool {
	return m.Anonymous || m.Publisher.configured() || m.Subscriber.configured()
}

// mercureTokens are the settings of the tokens of publishers and of subscribers.
func (c Config) mercureTokens() (publisher, subscriber token.Config) {
	return c.Mercure.Publisher.config(c, "mercure-publisher"), c.Mercure.Subscriber.config(c, "mercure-subscriber")
}

// checkMercure reports what is wrong with the settings of the Mercure protocol.
func (c Config) checkMercure() (errs []error) {
	publisher, subscriber := c.mercureTokens()
	for _, t := range []token.Config{publisher, subscriber} {
		t.Log = slog.New(slog.DiscardHandler) // New logs its warnings
		if err := t.Validate(); err != nil {
			for _, fault := range err.(interface{ Unwrap() []error }).Unwrap() { // they are joined
				errs = append(errs, fmt.Errorf("config: %w", fault))
			}
		}
	}
	if !isCookieName(c.Mercure.Cookie) {
		errs = append(errs, fmt.Errorf("config: mercure-cookie %q: must be a name of letters, digits, - and _, or off", c.Mercure.Cookie))
	}
	return errs
}

// newSubscriptions is the table of the subscriptions of the Mercure protocol, nil if they are
// not listed. c has its defaults.
func (c Config) newSubscriptions() *subscription.Table {
	if c.Mercure.Subscriptions <= 0 {
		return nil
	}
	return subscription.New(c.Mercure.Subscriptions, c.ofShare(c.Mercure.Subscriptions))
}

// SubscriptionStats is what the table of the subscriptions of the Mercure protocol has done.
func (s *Server) SubscriptionStats() subscription.Stats { return s.subscriptions.Stats() }

// reportSubscriptions appends events of subscriptions, and returns when to call it again; nil when
// the table signals.
func (s *Server) reportSubscriptions() (again <-chan time.Time) {
	if !s.subscriptions.Report(s.log.Append) {
		return nil
	}
	return time.After(subscription.ReportEvery)
}

// mercure is how clients of the Mercure protocol prove who they are, nil if it is off. c
// has its defaults.
func (s *Server) mercure(c Config) *identity.Mercure {
	if !c.Mercure.isOn() {
		return nil
	}
	m := &identity.Mercure{Anonymous: c.Mercure.Anonymous, Templates: s.config.matchers(), Cookie: c.Mercure.Cookie, Query: c.Mercure.Query == rules.Yes}
	if m.Cookie == NoCookie {
		m.Cookie = ""
	}
	if c.Mercure.Publisher.configured() {
		m.Publishers = s.publisherTokens
	}
	if c.Mercure.Subscriber.configured() {
		m.Subscribers = s.subscriberTokens
	}
	return m
}

// newMercureTokens makes the verifiers of the Mercure protocol, also while it is off: a
// reload may turn it on.
func (s *Server) newMercureTokens(c Config) (err error) {
	publisher, subscriber := c.mercureTokens()
	if s.publisherTokens, err = token.New(publisher); err != nil {
		return err
	}
	s.subscriberTokens, err = token.New(subscriber)
	return err
}

// reloadTokens replaces the configuration of all verifiers of tokens.
func (s *Server) reloadTokens(c Config) error {
	publisher, subscriber := c.mercureTokens()
	for _, one := range []struct {
		verifier *token.Verifier
		config   token.Config
	}{{s.tokens, c.Token}, {s.publisherTokens, publisher}, {s.subscriberTokens, subscriber}} {
		if err := one.verifier.Reload(one.config); err != nil { // files have changed since Validate
			return err
		}
	}
	return nil
}
