package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"strings"
	"testing"
	"time"

	"peal/loop/secure"
)

func TestHandshakesAreCounted(t *testing.T) {
	r := newRoom(t, 1, nil)
	cache := tls.NewLRUClientSessionCache(0)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for range 2 {
			c := r.dial(func(c *tls.Config) { only(version)(c); c.ClientSessionCache = cache }).shook()
			c.write([]byte("hello"))
			c.flow().send([]byte("world"))
			c.flow()
			if got := string(c.upper().got); got != "hello" || string(c.got) != "world" {
				t.Errorf("%q and %q", got, c.got)
			}
		}
		cache = tls.NewLRUClientSessionCache(0)
	}
	if s := r.layer.Stats(); s.Full != 2 || s.Resumed != 2 || s.TLS12 != 2 || s.TLS13 != 2 || s.Open != 4 || s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

// The loop above hears of nothing before the handshake is done.
func TestTheLoopHearsNothingOfAHandshake(t *testing.T) {
	r := newRoom(t, 1, nil)
	c := r.dial(nil)
	for !c.done {
		if u := c.upper(); u != nil && u.events != 0 {
			t.Fatal("an event of a connection whose handshake is not done")
		}
		before := r.layer.Stats().Full
		c.give(10)
		r.m.settle()
		if before != r.layer.Stats().Full {
			break
		}
		c.take(10)
	}
	c.shook()
}

func TestHandshakesThatFail(t *testing.T) {
	certificate, roots := identity()
	mutual := func(c *secure.Config) {
		c.TLS.ClientAuth, c.TLS.ClientCAs = tls.RequireAndVerifyClientCert, roots
	}
	other := func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }
	for name, k := range map[string]struct {
		change func(*secure.Config)
		client func(*tls.Config)
		reason secure.Reason
		says   string
	}{
		"TLS 1.1":                       {nil, only(tls.VersionTLS11), secure.ReasonProtocol, "protocol version not supported"},
		"TLS 1.0":                       {nil, only(tls.VersionTLS10), secure.ReasonProtocol, "protocol version not supported"},
		"no certificate, TLS 1.2":       {mutual, only(tls.VersionTLS12), secure.ReasonCertificate, "handshake failure"},
		"an unknown authority":          {nil, other, secure.ReasonAlert, "unknown authority"},
		"an unknown authority, TLS 1.2": {nil, func(c *tls.Config) { other(c); only(tls.VersionTLS12)(c) }, secure.ReasonAlert, "unknown authority"},
		"no protocol in common":         {func(c *secure.Config) { c.TLS.NextProtos = []string{"http/1.1"} }, func(c *tls.Config) { c.NextProtos = []string{"h2"} }, secure.ReasonProtocol, "no application protocol"},
		"no cipher suite in common": {nil, func(c *tls.Config) {
			only(tls.VersionTLS12)(c)
			c.CipherSuites = []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}, secure.ReasonProtocol, "handshake failure"},
		"a configuration that says no": {func(c *secure.Config) {
			c.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, io.ErrNoProgress }
		}, nil, secure.ReasonProtocol, "internal error"},
		"no certificate for the name": {func(c *secure.Config) {
			c.TLS.Certificates = nil
			c.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		}, nil, secure.ReasonProtocol, "unrecognized name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, 1, k.change)
			c := r.dial(k.client).flow()
			s := r.layer.Stats()
			if s.Failed[k.reason] != 1 {
				t.Errorf("want the reason %v: %+v", k.reason, s)
			}
			if c.err == nil || !strings.Contains(c.err.Error(), k.says) {
				t.Errorf("the client has %v, want %q", c.err, k.says)
			}
			c.s.deliver(nil)
			r.m.settle()
			if u := c.upper(); !u.closed || u.err == nil {
				t.Errorf("the loop has not closed it: %+v", u)
			}
		})
	}
	t.Run("TLS 1.3 without a certificate", func(t *testing.T) { // its client believes that it is done
		r := newRoom(t, 1, mutual)
		c := r.dial(only(tls.VersionTLS13)).flow()
		if s := r.layer.Stats(); s.Failed[secure.ReasonCertificate] != 1 || c.end == nil || !strings.Contains(c.end.Error(), "certificate required") {
			t.Errorf("%v; %+v", c.end, s)
		}
	})
	t.Run("a chain of certificates without an end", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			r := newRoom(t, 1, mutual)
			r.dial(func(c *tls.Config) {
				only(version)(c)
				chain := tls.Certificate{PrivateKey: certificate.PrivateKey, Leaf: certificate.Leaf}
				for range 90_000 / len(certificate.Certificate[0]) {
					chain.Certificate = append(chain.Certificate, certificate.Certificate[0])
				}
				c.Certificates = []tls.Certificate{chain}
			}).flow()
			if s := r.layer.Stats(); s.Failed[secure.ReasonOversize] != 1 {
				t.Errorf("%+v", s)
			}
		}
	})
	t.Run("with a certificate", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			r := newRoom(t, 1, mutual)
			c := r.dial(func(c *tls.Config) { only(version)(c); c.Certificates = []tls.Certificate{certificate} }).shook()
			c.write([]byte("hello"))
			if c.flow(); string(c.upper().got) != "hello" {
				t.Errorf("%q", c.upper().got)
			}
		}
	})
}

// raw is a client that sends what the test says.
func (r *room) raw(pieces ...string) (s *socket, u *upper) {
	s = r.m.connect("192.0.2.9:1000")
	r.m.settle()
	u = r.above.conns[s.fd]
	for _, p := range pieces {
		if !s.closed {
			s.deliver([]byte(p))
			r.m.settle()
		}
	}
	return s, u
}

func TestWhatIsNotTLS(t *testing.T) {
	hello := string(clientHello(t, &tls.Config{ServerName: "localhost"}))
	ssl3 := "\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + strings.Repeat("r", 32) + "\x00\x00\x02\x00\x2f\x01\x00"
	alert := func(code byte) string { return string([]byte{21, 3, 1, 0, 2, 2, code}) }
	for name, k := range map[string]struct {
		sends  []string
		reason secure.Reason
		answer string
	}{
		"HTTP":                   {[]string{"GET / HTTP/1.1\r\n\r\n"}, secure.ReasonPlain, "HTTP/1.1 400 Bad Request\r\n"},
		"HTTP in pieces":         {[]string{"O", "PTIO", "NS /x", " HTTP/1.1\r\n\r\n"}, secure.ReasonPlain, "HTTP/1.1 400 Bad Request\r\n"},
		"HTTP/2":                 {[]string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, secure.ReasonPlain, "HTTP/1.1 400 Bad Request\r\n"},
		"almost HTTP":            {[]string{"GET", "X"}, secure.ReasonNotTLS, ""},
		"SSH":                    {[]string{"SSH-2.0-x\r\n"}, secure.ReasonNotTLS, ""},
		"zeros":                  {[]string{strings.Repeat("\x00", 70000)}, secure.ReasonNotTLS, ""},
		"SSLv2":                  {[]string{"\x80\x2e\x01\x03\x01"}, secure.ReasonNotTLS, ""},
		"SSLv3":                  {[]string{ssl3[:20], ssl3[20:]}, secure.ReasonProtocol, alert(70)},
		"a ServerHello":          {[]string{"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00"}, secure.ReasonNotTLS, alert(10)},
		"a large ClientHello":    {[]string{"\x16\x03\x01\x01\x00\x01\x00\xff\xff"}, secure.ReasonOversize, alert(22)},
		"a ClientHello of noise": {[]string{"\x16\x03\x01\x00\x08\x01\x00\x00\x04abcd"}, secure.ReasonProtocol, alert(50)},
		"HTTP behind a hello":    {[]string{hello, "GET / HTTP/1.1\r\n\r\n"}, secure.ReasonNotTLS, "\x16\x03\x03"},
		"the end in a hello":     {[]string{hello[:50], ""}, secure.ReasonGone, ""},
		"nothing":                {[]string{""}, secure.ReasonGone, ""},
		"the end behind a hello": {[]string{hello, ""}, secure.ReasonGone, "\x16\x03\x03"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, 1, nil)
			s, u := r.raw(k.sends...)
			if got := r.layer.Stats(); got.Failed[k.reason] != 1 {
				t.Errorf("want the reason %v: %+v", k.reason, got)
			}
			if got := string(s.out); got != k.answer && (len(k.answer) < 3 || k.answer[0] == 21 || !strings.HasPrefix(got, k.answer)) {
				t.Errorf("answer %q, want %q", got, k.answer)
			}
			if !s.shut && !u.closed {
				t.Error("the server has not ended its side")
			}
			if k.reason == secure.ReasonPlain && !strings.HasSuffix(string(s.out), "this port speaks HTTPS: use an address that begins with https:// or wss://\"}}") {
				t.Errorf("answer %q", s.out)
			}
			r.m.elapse(2 * time.Second) // it does not go
			if !u.closed || u.err == nil {
				t.Errorf("the loop has not closed it: %+v", u)
			}
		})
	}
}

// A client that is slow with its handshake costs no goroutine before its ClientHello is
// complete, and is closed in time wherever it stops.
func TestSlowHandshakes(t *testing.T) {
	for _, stop := range []string{"nothing", "in the ClientHello", "behind it"} {
		r := newRoom(t, 1, nil)
		c := r.dial(only(tls.VersionTLS13))
		switch stop {
		case "in the ClientHello":
			c.give(100)
		case "behind it":
			c.give(1 << 20)
			r.m.settle()
			c.take(1 << 20)
		}
		r.m.settle()
		if running := r.layer.Stats().Running; (running != 0) != (stop == "behind it") {
			t.Errorf("%s: %d goroutines", stop, running)
		}
		r.m.elapse(9 * time.Second)
		if c.s.closed {
			t.Errorf("%s: closed too early", stop)
		}
		r.m.elapse(2 * time.Second)
		if s := r.layer.Stats(); !c.s.closed || s.Failed[secure.ReasonTimeout] != 1 || s.Running != 0 {
			t.Errorf("%s: closed %v, %+v", stop, c.s.closed, s)
		}
	}
}

// Early data is not offered: what it carries could be repeated by others.
func TestNoEarlyData(t *testing.T) {
	r := newRoom(t, 1, nil)
	early := false
	cache := tls.NewLRUClientSessionCache(0)
	c := r.dial(func(c *tls.Config) { c.ClientSessionCache = cache }).shook()
	if s, ok := cache.Get("localhost"); ok {
		_, state, err := s.ResumptionState()
		early = err != nil || state.EarlyData
	} else {
		t.Fatal("no session ticket")
	}
	if c.upper().closed || early {
		t.Error("the server offers early data")
	}
}

// A client that sends much behind its handshake, before the server has looked at that.
func TestDataBehindTheHandshake(t *testing.T) {
	for seed := range uint64(20) {
		dataBehindTheHandshake(t, seed)
	}
}

func dataBehindTheHandshake(t *testing.T, seed uint64) {
	r := newRoom(t, seed, nil)
	r.m.calm = seed%4 < 2
	c := r.dial(only(tls.VersionTLS13))
	c.give(1 << 20)
	r.m.settle()
	c.take(1 << 20)
	if !c.done || c.err != nil {
		t.Fatal(c.err)
	}
	data := payload(300_000, 1)
	c.write(data)
	if seed%2 == 0 {
		c.tls.CloseWrite()
	}
	c.give(1 << 20)
	c.s.deliver(nil)
	if c.flow(); string(c.upper().got) != string(data) || !c.upper().ended {
		t.Errorf("%d of %d bytes, ended %v; %+v", len(c.upper().got), len(data), c.upper().ended, r.layer.Stats())
	}
}
