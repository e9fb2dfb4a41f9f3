package certificate_test

import (
	"crypto/tls"
	"testing"

	"peal/scripts/testca"
	"peal/server/certificate"
)

func TestTheServerNameChoosesTheCertificate(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	first := pair(ca, dir, "first", testca.Leaf{Names: []string{"first.example", "www.first.example", "127.0.0.1"}})
	wild := pair(ca, dir, "wild", testca.Leaf{Names: []string{"*.example.org", "example.org"}})
	exact := pair(ca, dir, "exact", testca.Leaf{Names: []string{"push.example.org"}})
	upper := pair(ca, dir, "upper", testca.Leaf{Names: []string{"Upper.Example.net"}})
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{first, wild, exact, upper}})
	for server, want := range map[string]certificate.Pair{
		"first.example": first, "www.first.example": first, "example.org": wild, "a.example.org": wild, "A.Example.ORG": wild,
		"push.example.org": exact, "PUSH.example.org": exact, "upper.example.net": upper,
		// Unknown names, and clients without one, get the first.
		"a.b.example.org": first, ".example.org": first, "example.com": first, "org": first, "127.0.0.1": first, "": first,
	} {
		if got := presented(t, s, server); got != serialOf(t, want) {
			t.Errorf("%q: certificate %s, want that of %s", server, got, want.Cert)
		}
	}
	for server, want := range map[string]bool{"a.example.org": true, "first.example": true, "first.example.": true, "example.com": false, "": false} {
		if s.Has(server) != want {
			t.Errorf("Has(%q) is %v", server, !want)
		}
	}
}

func TestTheKindOfKeyIsOneThatTheClientKnows(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	modern := pair(ca, dir, "ecdsa", testca.Leaf{Names: []string{"a.example"}})
	old := pair(ca, dir, "rsa", testca.Leaf{Names: []string{"a.example"}, RSA: true})
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{modern, old}})
	onlyRSA := func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}
	for _, server := range []string{"a.example", "", "unknown.example"} {
		if got := presented(t, s, server); got != serialOf(t, modern) {
			t.Errorf("%q: a client of today gets %s, want the first", server, got)
		}
		if got := presented(t, s, server, onlyRSA); got != serialOf(t, old) {
			t.Errorf("%q: a client that knows RSA only gets %s, want the one with RSA", server, got)
		}
	}
}

func TestVersionsAndProtocols(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{pair(ca, dir, "a", testca.Leaf{})}})
	for _, c := range []struct {
		version uint16
		offers  []string
		want    string
		refused bool
	}{
		{tls.VersionTLS10, nil, "", true}, {tls.VersionTLS11, nil, "", true},
		{tls.VersionTLS12, nil, "", false}, {tls.VersionTLS13, nil, "", false},
		{tls.VersionTLS13, []string{"h2", "http/1.1"}, "http/1.1", false},
		{tls.VersionTLS12, []string{"http/1.1"}, "http/1.1", false},
		{tls.VersionTLS13, []string{"http/1.0", "http/1.1"}, "http/1.1", false},
		{tls.VersionTLS13, []string{"http/1.0"}, "http/1.0", false}, // curl --http1.0
		{tls.VersionTLS13, []string{"h2"}, "", true},                // RFC 7301 §3.2
		{tls.VersionTLS13, []string{"acme-tls/1"}, "", true},        // there is no ACME
	} {
		state, err := shake(t, s, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", MinVersion: c.version, MaxVersion: c.version, NextProtos: c.offers})
		if (err != nil) != c.refused {
			t.Errorf("version %x with %q: %v", c.version, c.offers, err)
		}
		if err == nil && (state.NegotiatedProtocol != c.want || state.Version != c.version) {
			t.Errorf("version %x with %q: %x and %q", c.version, c.offers, state.Version, state.NegotiatedProtocol)
		}
	}
}

func TestTicketsOutliveAReload(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	p := pair(ca, dir, "a", testca.Leaf{})
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{p}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		resumed := func() bool {
			t.Helper()
			state, err := shake(t, s, client)
			if err != nil {
				t.Fatal(err)
			}
			return state.DidResume
		}
		if resumed() {
			t.Fatal("the first handshake resumes a session")
		}
		if !resumed() {
			t.Errorf("version %x: no session is resumed", version)
		}
		ca.Files(dir, "a", testca.Leaf{})
		s.Look()
		if !resumed() {
			t.Errorf("version %x: no session is resumed after the files were replaced", version)
		}
		if err := s.Reload([]certificate.Pair{p}, ""); err != nil || !resumed() {
			t.Errorf("version %x: no session is resumed after a reload (%v)", version, err)
		}
	}
}

func TestTicketsEndWithTheirKeys(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	s, _ := open(t, certificate.Config{Pairs: []certificate.Pair{pair(ca, dir, "a", testca.Leaf{})}})
	session := func() *tls.Config {
		return &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	}
	resumed := func(c *tls.Config) bool {
		t.Helper()
		state, err := shake(t, s, c)
		if err != nil {
			t.Fatal(err)
		}
		return state.DidResume
	}
	kept, lost := session(), session()
	resumed(kept)
	resumed(lost)
	for range certificate.TicketKeys - 1 {
		s.Rotate()
	}
	if !resumed(kept) {
		t.Error("a ticket of the oldest key is not accepted")
	}
	s.Rotate()
	if resumed(lost) {
		t.Error("a ticket is accepted after its key was to be forgotten")
	}
}
