package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrPending: there is no certificate yet, because ACME has not granted it.
var ErrPending = errors.New("the certificate for this name is not there yet: ACME has not granted it, see the log of the server")

// Store keeps certificates, and the config that uses them.
type Store struct {
	// Fixed by Open.
	base   Config // without Pairs and ClientCA, which Reload changes
	config *tls.Config
	issuer *issuer // nil without ACME

	// Shared: handshakes read them.
	table  atomic.Pointer[table]
	client atomic.Pointer[tls.Config] // with ClientCAs; nil without

	// Shared: Stats reads them.
	reloads, failures atomic.Uint64

	mu      sync.Mutex // for what follows
	pairs   []Pair
	ca      string
	files   []*tls.Certificate // of pairs
	granted map[string]*tls.Certificate
	watch   watch

	tickets [][32]byte // used by the goroutine of Run, before it by Open
}

// Open reads the files of c, which must be valid, and logs warnings about them. It
// makes the directory of ACME. Nothing runs before Run.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	s := &Store{base: c, pairs: c.Pairs, ca: c.ClientCA, granted: map[string]*tls.Certificate{}}
	s.config = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   suites,
		NextProtos:     []string{"http/1.1", "http/1.0"},
		GetCertificate: s.find,
	}
	s.watch.seen = stamps(s.paths())
	files, client, err := s.load(c)
	if err != nil {
		return nil, err
	}
	s.use(files, client)
	s.rotate()
	if client != nil {
		// Of its own for each reload: a ticket of before must not replace a certificate
		// that a new authority did not sign. Without tickets, there is none to lose.
		s.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.client.Load(), nil }
	}
	if len(c.ACME.Domains) > 0 {
		if s.issuer, err = newIssuer(s, c.ACME); err != nil {
			return nil, err
		}
		s.config.NextProtos = append(s.config.NextProtos, challengeProtocol)
	}
	return s, nil
}

// TLS is the config for all connections of the listener. It must be used itself, not a
// clone: the keys of session tickets are replaced in it.
func (s *Store) TLS() *tls.Config { return s.config }

// Run looks after files, tickets and ACME until ctx ends.
func (s *Store) Run(ctx context.Context) {
	var issuing sync.WaitGroup
	defer issuing.Wait()
	if s.issuer != nil {
		issuing.Go(func() { s.issuer.run(ctx) })
	}
	look, rotate, day := time.NewTicker(s.base.Every), time.NewTicker(rotateEvery), time.NewTicker(24*time.Hour)
	defer look.Stop()
	defer rotate.Stop()
	defer day.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.look()
		case <-rotate.C:
			s.rotate()
		case <-day.C:
			s.warnOfExpiry()
		}
	}
}

// Reload reads the files again, and takes pairs and the file of authorities for client
// certificates in place of the old ones. On an error everything stays.
func (s *Store) Reload(pairs []Pair, clientCA string) error {
	use, err := s.Prepare(pairs, clientCA)
	if err == nil {
		use()
	}
	return err
}

// Prepare is Reload in two steps: nothing changes before use is called, which cannot fail.
func (s *Store) Prepare(pairs []Pair, clientCA string) (use func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (clientCA == "") != (s.ca == "") { // the first has decided what the config asks for
		return nil, fmt.Errorf("%sclient-ca: cannot be set or removed while the server runs: restart it", s.base.Prefix)
	}
	c := s.base
	c.Pairs, c.ClientCA = pairs, clientCA
	seen := stamps(paths(pairs, clientCA))
	files, client, err := s.load(c)
	if err != nil {
		s.failures.Add(1)
		return nil, err
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pairs, s.ca, s.watch = pairs, clientCA, watch{seen: seen}
		s.use(files, client)
		s.reloads.Add(1)
	}, nil
}

// load is Config.load, with warnings logged.
func (s *Store) load(c Config) (files []*tls.Certificate, client *tls.Config, err error) {
	files, warnings, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	for _, w := range warnings {
		c.Log.Warn(w)
	}
	if c.ClientCA != "" {
		p, err := pool(c.ClientCA)
		if err != nil {
			return nil, nil, fmt.Errorf("%sclient-ca %w", c.Prefix, err)
		}
		client = s.forClients(p)
	}
	return files, client, nil
}

// load reads all files and reports all faults at once.
func (c Config) load() (files []*tls.Certificate, warnings []string, err error) {
	if len(c.Pairs) > MostPairs {
		return nil, nil, fmt.Errorf("%stls-cert has %d files: at most %d are possible", c.Prefix, len(c.Pairs), MostPairs)
	}
	var errs []error
	for _, p := range c.Pairs {
		one, about, err := c.loadPair(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files, warnings = append(files, one), append(warnings, about...)
	}
	if c.ClientCA != "" {
		if _, err := pool(c.ClientCA); err != nil {
			errs = append(errs, fmt.Errorf("%sclient-ca %w", c.Prefix, err))
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return files, warnings, nil
}

// suites are those of TLS 1.2 with forward secrecy and authenticated encryption. TLS 1.3
// has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func (s *Store) forClients(authorities *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           suites,
		NextProtos:             s.config.NextProtos,
		GetCertificate:         s.find,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              authorities,
		SessionTicketsDisabled: true,
	}
}

// use puts new files into the table; mu is held, or nobody else has s.
func (s *Store) use(files []*tls.Certificate, client *tls.Config) {
	s.files = files
	s.client.Store(client)
	s.retable()
}

// retable makes the table of what there is; mu is held, or nobody else has s.
func (s *Store) retable() {
	all := append([]*tls.Certificate(nil), s.files...)
	for _, d := range s.base.ACME.Domains {
		if c := s.granted[d]; c != nil {
			all = append(all, c)
		}
	}
	s.table.Store(newTable(all))
}

// find is GetCertificate of the config.
func (s *Store) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t := s.table.Load()
	if s.issuer != nil {
		if isChallenge(hello) {
			return s.issuer.challenge(hello)
		}
		if t.first == nil || s.issuer.has(hello.ServerName) && t.named(hello.ServerName) == nil {
			return nil, ErrPending
		}
	}
	return t.find(hello), nil
}

// Has reports whether there is a certificate for that server name, or is to be one.
func (s *Store) Has(name string) bool {
	return s.table.Load().named(name) != nil || s.issuer != nil && s.issuer.has(name)
}

// HTTP returns the handler that answers challenges of HTTP-01 and passes on all other
// requests. Call it before Run.
func (s *Store) HTTP(other http.Handler) http.Handler {
	if s.issuer == nil {
		return other
	}
	return s.issuer.http(other)
}
