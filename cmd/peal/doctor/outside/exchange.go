package outside

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// response is a whole response, or why there is none.
type response struct {
	status int
	header http.Header
	body   string
	proto  string
	took   time.Duration

	code, message string // of an error of Peal
	err           error
}

// most of a body is kept: more than any message.
const mostBody = 4 << 20

// read takes the response of an exchange that began then.
func read(r *http.Response, err error, began time.Time) response {
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return response{err: err, took: time.Since(began)}
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, mostBody))
	a := response{status: r.StatusCode, header: r.Header, body: string(b), proto: r.Proto, took: time.Since(began), err: err}
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(b, &body) == nil {
		a.code, a.message = body.Error.Code, body.Error.Message
	}
	return a
}

// ofPeal reports whether Peal wrote the response, and not a proxy.
func (r response) ofPeal() bool {
	return r.err == nil && (r.code != "" || r.header.Get("Peal-Session") != "" || strings.HasPrefix(r.body, `{"cursor":`))
}

// refused reports whether Peal refused the request because of the visitor's rights.
func (r response) refused() bool {
	return r.code != "" && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden)
}

// String is the response in a few words.
func (r response) String() string {
	switch {
	case r.err != nil && r.status == 0:
		return "no response: " + r.err.Error()
	case r.err != nil:
		return fmt.Sprintf("%d, and then %v", r.status, r.err)
	case r.code != "":
		return fmt.Sprintf("%d %s", r.status, r.code)
	case r.ofPeal():
		return fmt.Sprintf("%d of Peal", r.status)
	}
	return fmt.Sprintf("%d that is not of Peal", r.status)
}

// place is a URL of the server.
func (e *examination) place(path string, query url.Values) *url.URL {
	u := e.URL.JoinPath(path)
	u.RawQuery = query.Encode()
	return u
}

// ask makes one request of the channel, with further headers, and waits for the
// response at most so long.
func (e *examination) ask(ctx context.Context, wait time.Duration, method, path string, query url.Values, body string, header http.Header) response {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if query == nil {
		query = url.Values{}
	}
	if !query.Has("channel") {
		query.Set("channel", e.Channel)
	}
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, e.place(path, query).String(), in)
	if err != nil {
		return response{err: err}
	}
	maps.Copy(request.Header, e.Header)
	maps.Copy(request.Header, header)
	repeatable(request)
	began := time.Now()
	r, err := e.plain.Do(request)
	return read(r, err, began)
}

// peek is a poll that Peal answers at once: its cursor is unknown, so the response is
// a gap. No two of them have the same URL, so that a cache does not get in the way.
func (e *examination) peek(ctx context.Context, header http.Header) response {
	return e.peekAt(ctx, rand.Text(), header)
}

// peekAt is peek of a URL with that text in it, which Peal ignores. An empty session=
// asks for a new one, which no two responses share.
func (e *examination) peekAt(ctx context.Context, text string, header http.Header) response {
	return e.ask(ctx, e.Patience, http.MethodGet, "poll", url.Values{"cursor": {"peal-doctor"}, "session": {""}, "timeout": {"1"}, "_": {text}}, "", header)
}

// repeatable has net/http send the request again if it finds the connection closed by a
// proxy that has closed it for being idle. The header without values is not sent.
func repeatable(request *http.Request) { request.Header["Idempotency-Key"] = nil }
