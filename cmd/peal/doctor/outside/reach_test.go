package outside_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate, its own authority if by is nil.
func sign(t *testing.T, by *authority, isCA bool, name string, until time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-365 * 24 * time.Hour), NotAfter: until,
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if !isCA {
		c.DNSNames, c.KeyUsage, c.ExtKeyUsage = []string{name}, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	parent := &authority{c, key}
	if by != nil {
		parent = by
	}
	b, err := x509.CreateCertificate(rand.Reader, c, parent.cert, &key.PublicKey, parent.key)
	if err == nil {
		c, err = x509.ParseCertificate(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

// secure is a proxy in Go in front of Peal, with those certificates and protocols.
func secure(t *testing.T, peal string, change func(c *tls.Config), chain ...*authority) string {
	t.Helper()
	s := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: peal}))
	proxy := s.Config.Handler.(*httputil.ReverseProxy)
	proxy.FlushInterval, proxy.ErrorLog = -1, log.New(io.Discard, "", 0)
	s.Config.ErrorLog = proxy.ErrorLog
	own := tls.Certificate{PrivateKey: chain[0].key}
	for _, c := range chain {
		own.Certificate = append(own.Certificate, c.cert.Raw)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	s.EnableHTTP2 = true
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestTLS(t *testing.T) {
	peal, year := serve(t, nil), time.Now().Add(300*24*time.Hour)
	root := sign(t, nil, true, "root", year)
	between := sign(t, root, true, "between", year)
	good := sign(t, root, false, "push.example", year)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	check := func(name string, addr string, want []string, says string) {
		t.Helper()
		r := examine(t, addr, func(v *outside.Visit) { v.URL.Scheme, v.Roots, v.Quick = "https", roots, true })
		got := ""
		for _, f := range r.Findings {
			if f.Status == doctor.Failure || f.Status == doctor.Warning {
				got += f.Check + ": " + string(f.Status) + " "
			}
		}
		if strings.TrimSpace(got) != strings.Join(want, " ") || !strings.Contains(text(r), says) {
			t.Errorf("%s: found %q, want %q and %q\n%s", name, got, want, says, text(r))
		}
	}
	check("good", secure(t, peal, nil, good), nil, "HTTP/2, and HTTP/1.1 for WebSockets")
	check("chain", secure(t, peal, nil, sign(t, between, false, "push.example", year), between), nil, "valid for push.example")
	check("no chain", secure(t, peal, nil, sign(t, between, false, "push.example", year)), []string{"tls: failure"}, "fullchain.pem")
	check("another name", secure(t, peal, nil, sign(t, root, false, "other.example", year)), []string{"tls: failure"}, "names push.example")
	check("own root", secure(t, peal, nil, sign(t, nil, false, "push.example", year)), []string{"tls: failure"}, "--ca FILE")
	check("expired", secure(t, peal, nil, sign(t, root, false, "push.example", time.Now().Add(-time.Hour))), []string{"tls: failure"}, "renew the certificate")
	check("ends soon", secure(t, peal, nil, sign(t, root, false, "push.example", time.Now().Add(100*time.Hour))), []string{"tls-expiry: warning"}, "ends in 4 days")
	check("old versions", secure(t, peal, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }, good), []string{"tls-versions: warning"}, "ssl_protocols TLSv1.2 TLSv1.3")
	check("no HTTP/1.1", secure(t, peal, func(c *tls.Config) {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.Contains(h.SupportedProtos, "h2") {
				return nil, errors.New("HTTP/2 only")
			}
			return nil, nil
		}
	}, good), []string{"http-version: failure", "websocket: failure"}, "is not offered")
	check("cleartext", peal, []string{"tls: failure"}, "may not speak TLS")
}

func TestNoServer(t *testing.T) {
	at := ports(t, 1)[0]
	r := examine(t, at, nil)
	if len(r.Findings) != 1 || r.Findings[0].Check != "reachable" || r.Findings[0].Status != doctor.Failure || len(r.Findings[0].Fix) == 0 {
		t.Errorf("%+v", r)
	}
}

// A name may have several addresses; each of them must respond.
func TestAddressesOfAName(t *testing.T) {
	peal := serve(t, nil)
	named := func(want string, status doctor.Status, addrs ...string) {
		t.Helper()
		r := examine(t, peal, func(v *outside.Visit) {
			v.Connect, v.Quick = "", true
			v.Resolve = func(_ context.Context, host string) (list []netip.Addr, err error) {
				if host != "push.example" {
					t.Errorf("asks for %s", host)
				}
				for _, a := range addrs {
					list = append(list, netip.MustParseAddr(a))
				}
				return list, nil
			}
		})
		if f := r.Findings[0]; f.Check != "reachable" || f.Status != status || !strings.Contains(f.Value, want) || (status != doctor.Failure) != (len(r.Findings) > 1) {
			t.Errorf("%q: %s", addrs, text(r))
		}
	}
	named("connected to 127.0.0.1:", doctor.OK, "127.0.0.1")
	named("but: dial tcp 127.0.0.2:", doctor.Warning, "127.0.0.1", "127.0.0.2")
	named("but: dial tcp 127.0.0.2:", doctor.Warning, "127.0.0.2", "::ffff:127.0.0.1")
	named("127.0.0.2:", doctor.Failure, "127.0.0.2")
	named("has no address", doctor.Failure)
}

// What is no Peal, or does not respond, is named in time.
func TestOtherServers(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/silent") {
			<-hold
		}
		_, _ = io.WriteString(w, "welcome")
	}))
	defer s.Close()
	defer close(hold)
	for path, says := range map[string]string{"/": "200 that is not of Peal", "/silent": "no response"} {
		r := examine(t, s.Listener.Addr().String(), func(v *outside.Visit) { v.URL.Path, v.Patience = path, time.Second })
		if got := faults(r); len(got) != 1 || got[0] != "route: failure" || !strings.Contains(text(r), says) {
			t.Errorf("%s: found %q\n%s", path, got, text(r))
		}
	}
}
