package certificate_test

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server/certificate"
)

func TestFilesThatChangeAreTaken(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	s, said := open(t, certificate.Config{Pairs: []certificate.Pair{p}})
	old := serialOf(t, p)
	s.Look()
	if got := presented(t, s, "localhost"); got != old || said.String() != "" {
		t.Errorf("nothing has changed, and the certificate is %s; %s", got, said)
	}
	ca.Files(dir, "a", testca.Leaf{})
	s.Look()
	if got := presented(t, s, "localhost"); got == old || got != serialOf(t, p) {
		t.Errorf("the new certificate is not used")
	}
	if said.count("certificates reloaded") != 1 || s.Stats().Reloads != 1 {
		t.Errorf("the log has %q", said)
	}

	// By a link, as certbot and Kubernetes do.
	link := certificate.Pair{Cert: in(dir, "live.pem"), Key: in(dir, "live.key")}
	point := func(to certificate.Pair) {
		for at, target := range map[string]string{link.Cert: to.Cert, link.Key: to.Key} {
			if err := os.Symlink(target, at+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(at+".new", at); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, two := pair(ca, dir, "one", testca.Leaf{}), pair(ca, dir, "two", testca.Leaf{})
	point(one)
	s, _ = open(t, certificate.Config{Pairs: []certificate.Pair{link}})
	point(two)
	s.Look()
	if got := presented(t, s, "localhost"); got != serialOf(t, two) {
		t.Error("the file behind the new link is not used")
	}
}

func TestAHalfWrittenPairIsNotTaken(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	s, said := open(t, certificate.Config{Pairs: []certificate.Pair{p}})
	old := serialOf(t, p)
	cert, key := ca.Sign(testca.Leaf{})
	is := func(want string, warnings int) {
		t.Helper()
		s.Look()
		if got := presented(t, s, "localhost"); got != want {
			t.Errorf("the certificate is %s, want %s", got, want)
		}
		if n := said.count("not reloaded"); n != warnings {
			t.Errorf("%d warnings, want %d: %s", n, warnings, said)
		}
	}
	// In the middle of a renewal there is no warning.
	write(t, p.Cert, cert[:100])
	is(old, 0)
	write(t, p.Cert, cert)
	is(old, 0)
	write(t, p.Key, key)
	is(serialOf(t, p), 0)

	// A fault that stays has one warning.
	now := serialOf(t, p)
	write(t, p.Key, []byte("nothing"))
	is(now, 0)
	is(now, 1)
	is(now, 1)
	if err := os.Remove(p.Cert); err != nil {
		t.Fatal(err)
	}
	is(now, 1)
	is(now, 2)
	is(now, 2)
	if s.Stats().Failed != 2 {
		t.Errorf("stats: %+v", s.Stats())
	}
	write(t, p.Cert, cert)
	write(t, p.Key, key)
	is(now, 2)
	if said.count("certificates reloaded") != 2 {
		t.Errorf("the log has %s", said)
	}
}

func TestReloadRefusesAFaultAndKeepsTheOld(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	a, b := pair(ca, dir, "a", testca.Leaf{Names: []string{"a.example"}}), pair(ca, dir, "b", testca.Leaf{Names: []string{"b.example"}})
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{a}})
	err := s.Reload([]certificate.Pair{a, {Cert: b.Cert, Key: a.Key}}, "")
	if err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("the reload returns %v", err)
	}
	if got := presented(t, s, "b.example"); got != serialOf(t, a) {
		t.Errorf("b.example gets %s", got)
	}
	if err := s.Reload([]certificate.Pair{a, b}, ""); err != nil {
		t.Fatal(err)
	}
	if got := presented(t, s, "b.example"); got != serialOf(t, b) {
		t.Errorf("b.example gets %s after the reload", got)
	}
	// The new pairs are those that are looked at.
	ca.Files(dir, "b", testca.Leaf{Names: []string{"b.example"}})
	s.Look()
	if got := presented(t, s, "b.example"); got != serialOf(t, b) {
		t.Error("a file that the reload has added is not looked at")
	}
	if st := s.Stats(); st.Reloads != 2 || st.Failed != 1 {
		t.Errorf("stats: %+v", st)
	}
}

func TestClientCertificates(t *testing.T) {
	ca, other, dir := testca.New(t, "CA"), testca.New(t, "Other"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	authority := ca.File(dir, "clients")
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{p}, ClientCA: authority, Prefix: "admin-"})
	client := func(by *testca.CA) *tls.Config {
		c := &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		if by != nil {
			cert, key := by.Sign(testca.Leaf{Client: true, Names: []string{"operator"}})
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		return c
	}
	ours, theirs := client(ca), client(other)
	accepted := func(c *tls.Config) bool {
		_, err := shake(t, s, c)
		return err == nil
	}
	for range 2 { // the second could resume a session
		if !accepted(ours) || accepted(theirs) || accepted(client(nil)) {
			t.Error("a client is admitted by another rule than its certificate")
		}
	}
	other.File(dir, "clients")
	s.Look()
	if accepted(ours) || !accepted(theirs) {
		t.Error("the new authority is not the one that counts")
	}
	if err := s.Reload([]certificate.Pair{p}, ""); err == nil || !strings.Contains(err.Error(), "admin-client-ca") {
		t.Errorf("client certificates are no longer asked for: %v", err)
	}
	if accepted(client(nil)) {
		t.Error("a client without a certificate is admitted")
	}
}

func TestRunLooksAtTheFiles(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{p}, Every: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	ca.Files(dir, "a", testca.Leaf{})
	want := serialOf(t, p)
	for end := time.Now().Add(patience); presented(t, s, "localhost") != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new certificate is not used")
		}
	}
}
