package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// challengeProtocol is that of TLS-ALPN-01 (RFC 8737).
const challengeProtocol = acme.ALPNProto

const (
	issuing   = 4               // certificates that are obtained at a time
	lookAgain = time.Minute     // after a renewed certificate
	mostRetry = 3 * time.Hour   // between attempts that fail
	askLimit  = 1 * time.Minute // for one response of the authority
)

// issuer obtains the certificates of a Store from ACME. The library renews them; a
// goroutine for each domain asks it for the one in force.
type issuer struct {
	store   *Store
	config  ACME
	manager *autocert.Manager
	turn    chan struct{} // has room for those that ask
	ask     *asking

	granted, refused atomic.Uint64
}

func newIssuer(s *Store, c ACME) (*issuer, error) {
	if err := makeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("acme-dir %q: %w", c.Dir, err)
	}
	ask, err := newAsking(c)
	if err != nil {
		return nil, err
	}
	i := &issuer{store: s, config: c, turn: make(chan struct{}, issuing), ask: ask}
	i.manager = &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      loud{autocert.DirCache(c.Dir), s},
		HostPolicy: autocert.HostWhitelist(c.Domains...),
		Email:      c.Email,
		Client:     &acme.Client{DirectoryURL: c.Directory, HTTPClient: &http.Client{Transport: ask, Timeout: askLimit}, UserAgent: "peal"},
	}
	return i, nil
}

// makeDir makes the directory, closed to others, and tries to write to it: a certificate
// that cannot be kept would be obtained again at each start, which authorities limit.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return reason(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return reason(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("other users can read or change it, and it has private keys: chmod 700 %s", dir)
	}
	probe, err := os.CreateTemp(dir, ".probe")
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("the user that runs the server may not write to it: change its owner")
	}
	if err != nil {
		return reason(err)
	}
	return errors.Join(probe.Close(), os.Remove(filepath.Join(dir, filepath.Base(probe.Name()))))
}

// loud logs what cannot be kept, which the library ignores.
type loud struct {
	autocert.Cache
	store *Store
}

func (l loud) Put(ctx context.Context, key string, data []byte) error {
	err := l.Cache.Put(ctx, key, data)
	if err != nil {
		l.store.base.Log.Warn("acme-dir cannot be written: the next start obtains this again, which the authority limits", "file", key, "error", err)
	}
	return err
}

// run obtains the certificates, and looks for renewed ones, until ctx ends.
func (i *issuer) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, i.ask.end)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for _, d := range i.config.Domains {
		all.Go(func() { i.follow(ctx, d) })
	}
}

// follow keeps the certificate of one domain.
func (i *issuer) follow(ctx context.Context, domain string) {
	retry := i.store.base.Retry
	for {
		next := lookAgain
		if err := i.obtain(ctx, domain); err == nil {
			retry = i.store.base.Retry
		} else if ctx.Err() == nil {
			next = retry
			retry = min(2*retry, mostRetry)
			i.refused.Add(1)
			i.store.base.Log.Warn("ACME did not grant a certificate: see that the domain leads to this server, on port 443 or by http-redirect on port 80", "domain", domain, "again_in", next.String(), "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// obtain has the certificate in force put into the table. It may take minutes.
func (i *issuer) obtain(ctx context.Context, domain string) error {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// What a client of today sends: the library chooses the kind of key by it.
	c, err := i.manager.GetCertificate(&tls.ClientHelloInfo{ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
	if err != nil {
		return err
	}
	i.store.grant(domain, c)
	return nil
}

// grant puts a certificate of ACME into the table, if it is another than before.
func (s *Store) grant(domain string, c *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.granted[domain]; old != nil && old.Leaf.Equal(c.Leaf) {
		return
	}
	s.granted[domain] = c
	s.retable()
	s.issuer.granted.Add(1)
	s.base.Log.Info("certificate from ACME is in use", "domain", domain, "expires", c.Leaf.NotAfter.Format(time.DateTime))
}

// has reports whether a server name is one of the domains.
func (i *issuer) has(server string) bool {
	return slices.Contains(i.config.Domains, strings.TrimSuffix(strings.ToLower(server), "."))
}

// isChallenge reports whether an authority asks by TLS-ALPN-01.
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol
}

// challenge is the certificate that answers a challenge. It is in memory, or in the
// directory.
func (i *issuer) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !i.has(hello.ServerName) {
		return nil, fmt.Errorf("a challenge for %q, which is not one of acme", hello.ServerName)
	}
	return i.manager.GetCertificate(hello)
}

// http answers challenges of HTTP-01.
func (i *issuer) http(other http.Handler) http.Handler {
	answer := i.manager.HTTPHandler(other)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
			// The library compares with the domains, and knows no port.
			if host, _, err := net.SplitHostPort(r.Host); err == nil {
				r.Host = host
			}
		}
		answer.ServeHTTP(w, r)
	})
}
