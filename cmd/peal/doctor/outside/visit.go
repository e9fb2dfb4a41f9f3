package outside

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"peal/cmd/peal/doctor"
)

// Visit is what is examined, and what the visitor may do there.
type Visit struct {
	URL    *url.URL
	Header http.Header // of each request: Authorization, Cookie

	// Publish is where the backend publishes, with PublishHeader; nil: at URL, with
	// Header. A proxy may keep /publish to itself.
	Publish       *url.URL
	PublishHeader http.Header

	AppKey  string // of an app of the Pusher protocol; "": its sessions are not checked
	Channel string // "": a name of its own
	Origin  string // of a page that uses the server; "": only that of the server itself
	Proxy   string // the kind of proxy in front; "": what it looks like

	// Resolve finds the addresses of a name; nil: DNS.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	Roots   *x509.CertPool // nil: those of the machine
	Connect string         // host:port to connect to in place of that of URL; "" for none

	Patience time.Duration // what should come at once may take so long
	Idle     time.Duration // how long a quiet connection is watched; a heartbeat ends it earlier
	Poll     time.Duration // how long a poll is held
	Quick    bool          // leave out quiet connections and polls
}

// examination is a visit in progress.
type examination struct {
	Visit
	plain   *http.Client // HTTP/1.1, as WebSockets need it
	browser *http.Client // HTTP/2 where the server offers it

	kind     string // of the proxy: a key of advice, "" if unknown, none if there is none
	named    string // the proxy in words
	findings []doctor.Finding

	target   string // host:port that is connected to
	reader   bool   // the visitor may subscribe to the channel
	streams  bool   // event streams arrive
	publish  func(ctx context.Context, data string) error
	limit    int    // of a message, as the server says; 0: unknown
	denied   string // why the visitor may not subscribe
	cannot   string // why the visitor cannot publish
	protocol string // negotiated by TLS
}

// none is the kind of a server without a proxy.
const none = "none"

// Examine makes all checks.
func (v Visit) Examine(ctx context.Context) *doctor.Report {
	if v.Channel == "" {
		v.Channel = "peal-doctor-" + rand.Text()[:10]
	}
	e := &examination{Visit: v, kind: v.Proxy, named: v.Proxy}
	e.plain, e.browser = e.client(false), e.client(true)
	defer e.plain.CloseIdleConnections()
	defer e.browser.CloseIdleConnections()
	e.examine(ctx)
	return &doctor.Report{Subject: v.URL.String() + " as clients reach it", Findings: e.findings}
}

func (e *examination) examine(ctx context.Context) {
	if !e.reach(ctx) {
		return
	}
	e.recognise(ctx)
	if !e.arrive(ctx) {
		return
	}
	for _, check := range []func(*examination, context.Context){
		(*examination).keepAlive, (*examination).caches, (*examination).lastEventID, (*examination).authorization, (*examination).largeHead, (*examination).forwarding,
		(*examination).host, (*examination).pages, (*examination).preflight, (*examination).largeBody,
		(*examination).choosePublisher, (*examination).eventStream, (*examination).webSocket, (*examination).sessions, (*examination).silence, (*examination).redirect,
	} {
		check(e, ctx)
	}
}

func (e *examination) add(f doctor.Finding) { e.findings = append(e.findings, f) }

func (e *examination) fine(check, format string, args ...any) {
	e.add(doctor.Fine(check, format, args...))
}

func (e *examination) skip(check, format string, args ...any) {
	e.add(doctor.Skip(check, format, args...))
}

// fault adds a failure that settings of a proxy cure.
func (e *examination) fault(check, value, why string, s symptom) {
	f := doctor.Fail(check, value, why)
	f.Proxies = s.advice(e.kind)
	if e.kind == none {
		f.Fix = []string{"no proxy was seen in front of Peal: if there is one, name it with --proxy"}
	}
	e.add(f)
}

// cost adds a warning that settings of a proxy cure.
func (e *examination) cost(check, value, why string, s symptom) {
	e.fault(check, value, why, s)
	e.findings[len(e.findings)-1].Status = doctor.Warning
}

func (e *examination) dial(ctx context.Context) (net.Conn, error) {
	return e.dialTo(ctx, e.target)
}

func (e *examination) dialTo(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: e.Patience}
	return d.DialContext(ctx, "tcp", address)
}

// tls is how connections are encrypted, with those protocols above.
func (e *examination) tls(protocols ...string) *tls.Config {
	return &tls.Config{ServerName: e.URL.Hostname(), RootCAs: e.Roots, NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// connect opens a connection for HTTP/1.1, encrypted if the URL says so.
func (e *examination) connect(ctx context.Context) (net.Conn, error) {
	conn, err := e.dial(ctx)
	if err != nil || e.URL.Scheme != "https" {
		return conn, err
	}
	secure := tls.Client(conn, e.tls("http/1.1"))
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// client is a client of its own: it follows no redirects, decodes nothing, and uses no
// proxy that the environment names.
func (e *examination) client(http2 bool) *http.Client {
	t := &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx) },
		DisableCompression:    true,
		ForceAttemptHTTP2:     http2,
		TLSClientConfig:       e.tls("h2", "http/1.1"),
		TLSHandshakeTimeout:   e.Patience,
		MaxIdleConnsPerHost:   2,
		ExpectContinueTimeout: time.Second,
	}
	if !http2 {
		t.TLSClientConfig = e.tls("http/1.1")
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
