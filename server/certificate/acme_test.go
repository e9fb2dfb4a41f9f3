package certificate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/scripts/testacme"
	"peal/scripts/testca"
	"peal/server/certificate"
)

// door is a TLS listener whose config can be changed: where the authority asks.
type door struct {
	config atomic.Pointer[tls.Config]
	port   int
}

func newDoor(t *testing.T) *door {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{port: ln.Addr().(*net.TCPAddr).Port}
	var all sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	all.Go(func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if config := d.config.Load(); config != nil {
				_ = tls.Server(c, config).Handshake()
			}
			c.Close()
		}
	})
	return d
}

// run runs a store until the returned function is called, or the test ends.
func run(t *testing.T, s *certificate.Store) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	end = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(end)
	return end
}

// granted waits until a client that trusts roots only has a connection.
func granted(t *testing.T, s *certificate.Store, client *tls.Config) {
	t.Helper()
	for end := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := shake(t, s, client)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no certificate was granted: %v", err)
		}
	}
}

func TestACME(t *testing.T) {
	d := newDoor(t)
	var answers atomic.Pointer[http.Handler]
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := answers.Load(); h != nil {
			(*h).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer web.Close()
	authority, err := testacme.Start(t, testacme.Ports{HTTP: web.Listener.Addr().(*net.TCPAddr).Port, TLS: d.port}, 90*24*time.Hour)
	if err != nil {
		if !errors.Is(err, testacme.ErrLacking) || os.Getenv("PEAL_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	config := func(dir string, domains ...string) certificate.Config {
		return certificate.Config{ACME: certificate.ACME{Domains: domains, Directory: authority.Directory, CA: authority.CA, Dir: dir, Email: "ops@example.org"}, Retry: time.Hour}
	}
	trusting := func(server string) *tls.Config {
		return &tls.Config{RootCAs: authority.Roots, ServerName: server}
	}

	t.Run("TLS-ALPN-01", func(t *testing.T) {
		dir := in(t.TempDir(), "acme")
		s, said := open(t, config(dir, "a.example.org", "b.example.org"))
		if _, err := shake(t, s, trusting("a.example.org")); err == nil {
			t.Error("there is a certificate before one was granted")
		}
		d.config.Store(s.TLS())
		defer d.config.Store(nil)
		end := run(t, s)

		granted(t, s, trusting("a.example.org"))
		granted(t, s, trusting("b.example.org"))
		if !s.Has("b.example.org") || s.Has("c.example.org") {
			t.Error("Has is wrong about the domains")
		}
		if _, err := shake(t, s, &tls.Config{RootCAs: authority.Roots, ServerName: "a.example.org", NextProtos: []string{"h2", "http/1.1"}}); err != nil {
			t.Errorf("a client that offers HTTP: %v", err)
		}
		st := s.Stats()
		if st.Granted != 2 || st.Refused != 0 || len(st.Certificates) != 2 {
			t.Errorf("stats: %+v; %s", st, said)
		}
		end()
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, f.Name())
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v (%v)", f.Name(), info.Mode(), err)
			}
		}
		if !slices.Contains(names, "a.example.org") || !slices.Contains(names, "acme_account+key") {
			t.Errorf("the directory has %q", names)
		}

		// The next start needs no authority.
		again := config(dir, "a.example.org")
		again.ACME.Directory = "https://127.0.0.1:1/dir"
		s, _ = open(t, again)
		run(t, s)
		granted(t, s, trusting("a.example.org"))
	})

	t.Run("HTTP-01", func(t *testing.T) {
		s, _ := open(t, config(in(t.TempDir(), "acme"), "c.example.org"))
		h := s.HTTP(http.NotFoundHandler())
		answers.Store(&h)
		defer answers.Store(nil)
		run(t, s)
		granted(t, s, trusting("c.example.org"))
		for _, host := range []string{"other.example.org", "c.example.org"} {
			r := httptest.NewRequest("GET", "http://"+host+"/.well-known/acme-challenge/x", nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if want := map[bool]int{true: 404, false: 403}[host == "c.example.org"]; w.Code != want {
				t.Errorf("a challenge that is not there, on %s: %d, want %d", host, w.Code, want)
			}
		}
	})

	t.Run("refused", func(t *testing.T) {
		s, said := open(t, config(in(t.TempDir(), "acme"), "d.example.org")) // nothing answers challenges
		run(t, s)
		for end := time.Now().Add(2 * patience); s.Stats().Refused == 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the refusal is not counted")
			}
		}
		if said.count("ACME did not grant a certificate") != 1 || !strings.Contains(said.String(), "d.example.org") || !strings.Contains(said.String(), "again_in=1h") {
			t.Errorf("the log has %s", said)
		}
	})
}

// An authority that does not respond keeps no handshake waiting, and does not hold up the
// end of the server.
func TestASlowAuthority(t *testing.T) {
	asked := make(chan struct{})
	first := sync.OnceFunc(func() { close(asked) })
	var all sync.WaitGroup
	slow := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		all.Add(1)
		defer all.Done()
		first()
		<-r.Context().Done() // it hangs up
	}))
	defer slow.Close()
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Sign(testca.Leaf{})
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	slow.TLS.Certificates = []tls.Certificate{own}
	p := pair(ca, dir, "file", testca.Leaf{Names: []string{"file.example", "*.wild.example"}})
	c := certificate.Config{Pairs: []certificate.Pair{p}, ACME: certificate.ACME{
		Domains: []string{"a.example.org", "b.example.org", "c.example.org", "d.example.org", "e.example.org", "f.wild.example"}, Directory: slow.URL, CA: ca.File(dir, "ca"), Dir: in(dir, "acme")}}
	s, said := open(t, c)
	end := run(t, s)
	<-asked
	for _, server := range c.ACME.Domains[:5] {
		if _, err := shake(t, s, &tls.Config{ServerName: server, InsecureSkipVerify: true}); err == nil {
			t.Errorf("%s has a certificate", server)
		}
	}
	for _, server := range []string{"file.example", "f.wild.example", "unknown.example", ""} {
		if got := presented(t, s, server); got != serialOf(t, p) {
			t.Errorf("%q does not get the certificate of the files", server)
		}
	}
	// Challenges that nobody waits for.
	for _, server := range []string{"a.example.org", "file.example", "../../etc/passwd"} {
		if _, err := shake(t, s, &tls.Config{ServerName: server, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
			t.Errorf("a challenge for %q is answered", server)
		}
	}
	end()
	slow.CloseClientConnections()
	all.Wait()
	if strings.Contains(said.String(), "did not grant") {
		t.Errorf("the end of the server is logged as a refusal: %s", said)
	}
}

func TestACMESettings(t *testing.T) {
	dir := t.TempDir()
	text := write(t, in(dir, "text"), []byte("hello"))
	good := certificate.ACME{Domains: []string{"a.example.org"}, Dir: in(dir, "acme")}
	if err := (certificate.Config{ACME: good}).Validate(); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(in(dir, "acme")); err == nil {
		t.Error("Validate has made the directory")
	}
	for says, change := range map[string]func(*certificate.ACME){
		"is a wildcard":              func(a *certificate.ACME) { a.Domains = []string{"*.example.org"} },
		"without a port":             func(a *certificate.ACME) { a.Domains = []string{"a.example.org:443"} },
		"a public host name":         func(a *certificate.ACME) { a.Domains = []string{"localhost"} },
		"must be a public host name": func(a *certificate.ACME) { a.Domains = []string{"192.0.2.1"} },
		"in lower case":              func(a *certificate.ACME) { a.Domains = []string{"A.example.org"} },
		"xn--":                       func(a *certificate.ACME) { a.Domains = []string{"bücher.example"} },
		"at most 100":                func(a *certificate.ACME) { a.Domains = slices.Repeat([]string{"a.example.org"}, 101) },
		"must begin with https://":   func(a *certificate.ACME) { a.Directory = "http://ca.example/dir" },
		"acme-dir: must be set":      func(a *certificate.ACME) { a.Dir = "" },
		"acme-ca":                    func(a *certificate.ACME) { a.CA = text },
	} {
		a := good
		change(&a)
		if err := (certificate.Config{ACME: a}).Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want an error with %q", a, err, says)
		}
	}
	// The directory must be closed to others.
	wide := in(dir, "wide")
	if err := errors.Join(os.Mkdir(wide, 0o755), os.Chmod(wide, 0o755)); err != nil {
		t.Fatal(err)
	}
	good.Dir = wide
	if _, err := certificate.Open(certificate.Config{ACME: good, Log: new(lines).logger()}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("%v, want an error with what to change", err)
	}
	good.Dir = text
	if _, err := certificate.Open(certificate.Config{ACME: good, Log: new(lines).logger()}); err == nil || !strings.Contains(err.Error(), "acme-dir") {
		t.Errorf("%v, want an error about acme-dir", err)
	}
}
