package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// mostHeader is what is read of the head of a response.
const mostHeader = 16 << 10

// NewClient returns a client of one backend with at most that many connections: no proxy,
// no redirects, no address that is not public unless private is set. timeout is that of one
// request with its response. roots are nil for those of the machine.
func NewClient(timeout time.Duration, private bool, connections int, roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: timeout}
	if !private {
		dialer.Control = Guard
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: mostHeader,
			MaxIdleConns:           connections,
			MaxIdleConnsPerHost:    connections,
			MaxConnsPerHost:        connections,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

// Explain is an error of a client without the URL of the request, which may have a secret in
// its query.
func Explain(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return "it did not respond in time"
		}
		err = of.Err
	}
	text := err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	return strings.ToValidUTF8(text, "?")
}
