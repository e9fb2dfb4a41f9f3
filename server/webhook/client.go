package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"peal/server/outbound"
)

// mostAnswer is what is read of a response behind its head.
const mostAnswer = 4 << 10

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
		return &failure{what: outbound.Explain(err)}
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
