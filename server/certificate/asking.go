package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"time"
)

// asking carries requests to an authority. The library makes them with contexts of its
// own; end ends them all, so that the end of the server need not wait for them.
type asking struct {
	next  *http.Transport
	ended context.Context
	end   context.CancelFunc
}

func newAsking(c ACME) (*asking, error) {
	next := &http.Transport{
		Proxy:               http.ProxyFromEnvironment, // as curl, whose configuration an operator knows
		TLSHandshakeTimeout: 10 * time.Second,
		MaxConnsPerHost:     issuing,
		IdleConnTimeout:     10 * time.Second,
	}
	if c.CA != "" {
		text, err := read(c.CA)
		if err != nil {
			return nil, fmt.Errorf("acme-ca %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("acme-ca %q: has no certificate in PEM form", c.CA)
		}
		next.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	a := &asking{next: next}
	a.ended, a.end = context.WithCancel(context.Background())
	return a, nil
}

func (a *asking) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(a.ended, cancel)
	release := func() { stop(); cancel() }
	response, err := a.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		release()
		return nil, err
	}
	response.Body = &released{response.Body, release}
	return response, nil
}

// released is a body that releases what its request has used.
type released struct {
	io.ReadCloser
	release func()
}

func (b *released) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
