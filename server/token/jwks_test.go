package token_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/token"
)

// issuer serves a JWKS as a test sets it.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	respond http.HandlerFunc
	served  int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.served++
		respond := i.respond
		i.mu.Unlock()
		respond(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) set(respond http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.respond = respond
}

func (i *issuer) body(text string) {
	i.set(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.served
}

// of are the claims of a token of an issuer.
func of(iss string, more ...any) map[string]any {
	c := map[string]any{"iss": iss, "aud": "peal"}
	for n := 0; n < len(more); n += 2 {
		c[more[n].(string)] = more[n+1]
	}
	return c
}

// remote is a configuration with the JWKS of issuers at URLs, by the names a, b, ….
func remote(t *testing.T, at *clock, urls ...string) token.Config {
	t.Helper()
	c := config()
	c.Secrets, c.Now, c.Audiences = nil, at.now, []string{"peal"}
	for n, url := range urls {
		iss := string(rune('a' + n))
		c.Issuers = append(c.Issuers, iss)
		c.JWKS = append(c.JWKS, iss+"="+url)
	}
	return c
}

func TestJWKSOfEveryAlgorithm(t *testing.T) {
	var at clock
	i := newIssuer(t)
	r, e, d := rsaKey(), ecKey(), edKey()
	forEncryption, forSigning := ecKey(), ecKey()
	encryption, signing := forEncryption.jwk("k2"), forSigning.jwk("k2")
	encryption["use"], signing["key_ops"] = "enc", []string{"sign"}
	bare := d.jwk("k3")
	delete(bare, "alg")
	delete(bare, "use")
	i.body(jwks(t, r.jwk("k1"), encryption, signing, e.jwk("k2"), map[string]any{"kty": "unknown", "kid": "k2"}, bare))
	c := remote(t, &at, i.URL)
	c.Keys = []string{file(t, "own.pem", ecKey().pem())}
	v := verifier(t, c)
	for kid, p := range map[string]pair{"k1": r, "k2": e, "k3": d} {
		accepted(t, v, p.sign(t, kid, claims(of("a"))))
		refused(t, v, p.sign(t, kid, claims(map[string]any{"aud": "peal"})), "token_invalid", "token-issuer")
		refused(t, v, p.sign(t, kid, claims(map[string]any{"iss": "a"})), "token_invalid", "token-audience")
	}
	if i.count() != 1 {
		t.Errorf("%d requests for the set, want 1", i.count())
	}
	refused(t, v, e.sign(t, "k1", claims(of("a"))), "token_invalid", "signature of the token is wrong")
	for _, p := range []pair{forEncryption, forSigning} {
		refused(t, v, p.sign(t, "k2", claims(of("a"))), "token_invalid", "signature of the token is wrong")
	}
}

// A key is looked up among those of the issuer only.
func TestTwoIssuersWithOneKid(t *testing.T) {
	var at clock
	one, two := newIssuer(t), newIssuer(t)
	p, q := ecKey(), ecKey()
	one.body(jwks(t, p.jwk("k")))
	two.body(jwks(t, q.jwk("k"), ecKey().jwk("l")))
	v := verifier(t, remote(t, &at, one.URL, two.URL))
	accepted(t, v, p.sign(t, "k", claims(of("a"))))
	accepted(t, v, q.sign(t, "k", claims(of("b"))))
	refused(t, v, p.sign(t, "k", claims(of("b"))), "token_invalid", "signature of the token is wrong")
	refused(t, v, q.sign(t, "k", claims(of("a"))), "token_invalid", "signature of the token is wrong")
	refused(t, v, p.sign(t, "l", claims(of("a"))), "token_invalid", "no key for the alg, iss and kid")
	refused(t, v, p.sign(t, "k", claims(of("c"))), "token_invalid", "token-issuer")

	// Without a kid there must be one key only.
	accepted(t, v, p.sign(t, "", claims(of("a"))))
	refused(t, v, q.sign(t, "", claims(of("b"))), "token_invalid", "needs kid")
}

func TestRotationOfKeys(t *testing.T) {
	var at clock
	i := newIssuer(t)
	old, renewed := ecKey(), ecKey()
	i.body(jwks(t, old.jwk("old")))
	v := verifier(t, remote(t, &at, i.URL))
	accepted(t, v, old.sign(t, "old", claims(of("a"))))

	// An unknown kid is looked up at most every ten seconds.
	i.body(jwks(t, old.jwk("old"), renewed.jwk("new")))
	text := renewed.sign(t, "new", claims(of("a")))
	for n := range 100 {
		refused(t, v, renewed.sign(t, fmt.Sprint("unknown", n), claims(of("a"))), "token_invalid", "no key for the alg")
		refused(t, v, text, "token_invalid", "no key for the alg")
	}
	if i.count() != 1 {
		t.Errorf("%d requests, want 1", i.count())
	}
	at.move(10 * time.Second)
	accepted(t, v, text)
	if i.count() != 2 {
		t.Errorf("%d requests, want 2", i.count())
	}
	// The token whose verification changed the set is verified again, and then cached.
	accepted(t, v, text)
	if v.Stats().Cached != 1 {
		t.Errorf("%+v", v.Stats())
	}

	// A key that is taken out verifies nothing more from the next reading on, also
	// what was cached.
	again := old.sign(t, "old", claims(of("a")))
	accepted(t, v, again)
	i.body(jwks(t, renewed.jwk("new")))
	at.move(15 * time.Minute)
	v.RefreshDue(t.Context())
	if i.count() != 3 {
		t.Errorf("%d requests, want 3", i.count())
	}
	refused(t, v, again, "token_invalid", "no key for the alg")
	accepted(t, v, text)
	v.RefreshDue(t.Context()) // nothing is due
	if i.count() != 3 {
		t.Errorf("%d requests, want 3", i.count())
	}
}

// Whatever a URL does, the keys that it had before stay; and without any, a token is
// refused so that it is presented again.
func TestSetsThatCannotBeRead(t *testing.T) {
	p := ecKey()
	good := jwks(t, p.jwk("k"))
	elsewhere := newIssuer(t)
	elsewhere.body(good)
	for name, c := range map[string]struct {
		respond http.HandlerFunc
		want    string // in the log
	}{
		"status 500":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, http.StatusInternalServerError) }, "status 500"},
		"a redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "status 302"},
		"an empty set":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, jwks(t)) }, "no key for RS256"},
		"an empty object": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }, "no key for RS256"},
		"no keys to use":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA"}]}`) }, "no key for RS256"},
		"HTML":            {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }, "not a JWKS"},
		"10 MB":           {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 10<<20), good) }, "more than 262144 bytes"},
		"too many keys":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, jwks(t, make([]map[string]any, 101)...)) }, "101 keys"},
		"a head of 1 MB": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			fmt.Fprint(w, good)
		}, "headers exceeded"},
		"half a response": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "999")
			fmt.Fprint(w, good)
		}, "unexpected EOF"},
		"a closed connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			var at clock
			var log bytes.Buffer
			i := newIssuer(t)
			i.set(c.respond)
			with := remote(t, &at, i.URL+"/?hidden")
			with.Log = slog.New(slog.NewTextHandler(&log, nil))
			v := verifier(t, with)
			text := p.sign(t, "k", claims(of("a")))
			for range 3 {
				err := refused(t, v, text, "token_keys_unavailable", "cannot be looked up")
				if _, again := err.Again(); !again || err.CloseCode() != 1013 {
					t.Errorf("%+v is final", err)
				}
			}
			if i.count() != 1 {
				t.Errorf("%d requests, want 1", i.count())
			}
			if !strings.Contains(log.String(), c.want) || !strings.Contains(log.String(), "token-jwks") || strings.Contains(log.String(), "hidden") {
				t.Errorf("the log lacks %q or has a query: %s", c.want, &log)
			}
			at.move(10 * time.Second)
			i.body(good)
			accepted(t, v, text)

			i.set(c.respond)
			for _, after := range []time.Duration{15 * time.Minute, 30 * time.Second, 30 * time.Second, 30 * time.Second} {
				at.move(after - time.Second)
				v.RefreshDue(t.Context())
				at.move(time.Second)
				v.RefreshDue(t.Context())
				accepted(t, v, p.sign(t, "k", claims(of("a", "exp", at.now().Unix()+60))))
			}
			// An unknown kid may be a new one.
			refused(t, v, ecKey().sign(t, "new", claims(of("a", "exp", at.now().Unix()+60))), "token_keys_unavailable", "try again")
			if s := v.Stats(); s.Failed != 5 || s.Fetched != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// While a URL hangs, no caller waits for long, and at most one at a time.
func TestAURLThatHangs(t *testing.T) {
	var at clock
	i := newIssuer(t)
	p := ecKey()
	asked, release := make(chan struct{}, 9), make(chan struct{})
	i.set(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	defer close(release)
	v := verifier(t, remote(t, &at, i.URL))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.RefreshDue(ctx)
	}()
	<-asked
	refused(t, v, p.sign(t, "k", claims(of("a"))), "token_keys_unavailable", "try again")
	at.move(10 * time.Second) // another attempt would be permitted
	refused(t, v, p.sign(t, "other", claims(of("a"))), "token_keys_unavailable", "try again")
	if i.count() != 1 {
		t.Errorf("%d requests, want 1", i.count())
	}
	cancel()
	<-ended

	refused(t, v, p.sign(t, "k", claims(of("a"))), "token_keys_unavailable", "try again") // after a second, though it hangs
	if i.count() != 2 {
		t.Errorf("%d requests, want 2", i.count())
	}
}

func TestRunReadsSetsAndEndsWithItsContext(t *testing.T) {
	var at clock
	i := newIssuer(t)
	p := ecKey()
	asked := make(chan struct{})
	i.set(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, jwks(t, p.jwk("k")))
		close(asked)
	})
	v := verifier(t, remote(t, &at, i.URL))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.Run(ctx)
	}()
	<-asked
	cancel()
	<-ended
}

// A reload keeps the keys of a URL that cannot be read at that moment.
func TestReloadKeepsTheKeysOfURLs(t *testing.T) {
	var at clock
	i := newIssuer(t)
	p := ecKey()
	i.body(jwks(t, p.jwk("k")))
	c := remote(t, &at, i.URL)
	v := verifier(t, c)
	v.RefreshDue(t.Context())
	i.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) })
	c.Secrets = []string{secret}
	if err := v.Reload(c); err != nil {
		t.Fatal(err)
	}
	accepted(t, v, p.sign(t, "k", claims(of("a"))))
	// Those of a URL of another issuer are not its own.
	c.Issuers, c.JWKS = []string{"b"}, []string{i.URL}
	if err := v.Reload(c); err != nil {
		t.Fatal(err)
	}
	refused(t, v, p.sign(t, "k", claims(of("b"))), "token_keys_unavailable", "try again")
}

// What a certificate of a key in a set says is not fetched.
func TestAddressesInASetAreNotFetched(t *testing.T) {
	var at clock
	one, other := newIssuer(t), newIssuer(t)
	p := ecKey()
	k := p.jwk("k")
	k["x5u"] = other.URL
	one.body(jwks(t, k))
	other.body("")
	v := verifier(t, remote(t, &at, one.URL))
	accepted(t, v, p.sign(t, "k", claims(of("a"))))
	if other.count() != 0 {
		t.Error("x5u was fetched")
	}
}

func TestHTTPSWithACertificate(t *testing.T) {
	var at clock
	p := ecKey()
	text := jwks(t, p.jwk("k"))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	c := remote(t, &at, server.URL)
	refused(t, verifier(t, c), p.sign(t, "k", claims(of("a"))), "token_keys_unavailable", "try again") // an unknown authority
	c.Transport = server.Client().Transport
	accepted(t, verifier(t, c), p.sign(t, "k", claims(of("a"))))
}
