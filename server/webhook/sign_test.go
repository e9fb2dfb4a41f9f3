package webhook

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A receiver of this machine is not reached, however it is named, and the error says what to change.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	reached := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer s.Close()
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1.2.3"} {
		p, err := newEndpoint(Definition{Name: "a", URL: "http://" + host + port, Events: []string{Occupied}, Secret: "123456789012345678901234", Timeout: time.Minute}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := p.post(context.Background(), "id", nil, time.Now())
		if f == nil || !strings.Contains(f.what, "is not public: set allow-private: true") {
			t.Errorf("%s: %v", host, f)
		}
	}
	if reached {
		t.Error("the receiver was reached")
	}
}

// A certificate that nobody knows is refused; the environment names no proxy.
func TestCertificatesAreVerifiedAndProxiesIgnored(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	s.StartTLS()
	defer s.Close()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	d := Definition{Name: "a", URL: s.URL + "/?token=hidden", Events: []string{Occupied}, Secret: "123456789012345678901234", Timeout: time.Minute, AllowPrivate: true}
	p, err := newEndpoint(d, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := p.post(context.Background(), "id", nil, time.Now()); f == nil || !strings.Contains(f.what, "certificate") || strings.Contains(f.what, "hidden") {
		t.Errorf("%v", f)
	}
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if p, err = newEndpoint(d, nil, roots); err != nil {
		t.Fatal(err)
	}
	if f := p.post(context.Background(), "id", nil, time.Now()); f != nil {
		t.Errorf("%v", f)
	}
	s.Close()
	if f := p.post(context.Background(), "id", nil, time.Now()); f == nil || strings.Contains(f.what, "hidden") {
		t.Errorf("%v", f)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "0": 0, "7": 7 * time.Second, "99999999999": time.Hour, "999999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 02 Jan 2027 03:05:05 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
