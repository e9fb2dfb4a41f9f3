package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What is read of a response.
const (
	mostHeader = 16 << 10
	mostAnswer = 4 << 10
)

// newClient returns a client of one endpoint: no proxy, no redirects, no address that is not public
// unless private is set.
func newClient(timeout time.Duration, private bool, roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: timeout}
	if !private {
		dialer.Control = guardDial
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: mostHeader,
			MaxIdleConns:           1,
			MaxConnsPerHost:        1,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

// failure is why one attempt was no delivery, in words without the URL and secrets.
type failure struct {
	what  string
	after time.Duration // Retry-After of the response, 0 for none
}

func (f *failure) Error() string { return f.what }

// post sends a batch once. A response of 2xx is a delivery, whatever comes behind its head.
func (p *endpoint) post(ctx context.Context, id string, body []byte, now time.Time) *failure {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return &failure{what: "the url is not one"}
	}
	r.GetBody = nil // the transport must not repeat it by itself: the order is ours
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Peal-Webhooks")
	if !p.sign(r.Header, id, body, now) {
		return &failure{what: "its app is not configured any more: set app to the id of one that is"}
	}
	response, err := p.client.Do(r)
	if err != nil {
		return &failure{what: explain(err)}
	}
	_, _ = io.CopyN(io.Discard, response.Body, mostAnswer) // so that the connection can be used again; more ends it
	_ = response.Body.Close()
	code := response.StatusCode
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return &failure{what: fmt.Sprintf("it responds with a redirect (%d), which is not followed: set url to the final address", code)}
	}
	return &failure{what: fmt.Sprintf("it responds with status %d", code), after: retryAfter(response.Header.Get("Retry-After"), now)}
}

// explain is an error without the URL of the request, which may have a secret in its query.
func explain(err error) string {
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

// mostRetryAfter is the longest wait that an endpoint can ask for.
const mostRetryAfter = time.Hour

// retryAfter reads the header: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.Atoi(text); err == nil {
		d = time.Duration(min(max(n, 0), int(mostRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), mostRetryAfter)
}
