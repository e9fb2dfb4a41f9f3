package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

const (
	urlVariable = "PEAL_URL"
	defaultURL  = "http://localhost:8080"
)

// urlFlag adds --url to a command that is a client.
func urlFlag(f *pflag.FlagSet) *string {
	start := os.Getenv(urlVariable)
	if start == "" {
		start = defaultURL
	}
	return f.String("url", start, "URL of the server (also "+urlVariable+")")
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError{fmt.Errorf("the server's URL %q: must be like %s", text, defaultURL)}
	}
	return u, nil
}

// endpoint is the address of one request.
func endpoint(base *url.URL, path string, query url.Values) *url.URL {
	u := base.JoinPath(path)
	u.RawQuery = query.Encode()
	return u
}

// refusal is a response that reports an error.
type refusal struct {
	status int
	code   string // "" if it is not an error of Peal
	text   string
	after  time.Duration // Retry-After; 0 without
}

func (r *refusal) Error() string { return r.text }

// final reports whether the same request would be refused again.
func (r *refusal) final() bool {
	return r.status < 500 && r.status != http.StatusTooManyRequests && r.status != http.StatusRequestTimeout
}

// maxRefusal is how many bytes of a refusal are read.
const maxRefusal = 64 << 10

// refused returns a response as an error, with the server's own message if it is
// an error of Peal.
func refused(response *http.Response) *refusal {
	r := &refusal{status: response.StatusCode, text: "the server responds with " + response.Status}
	if r.status == http.StatusNoContent { // an event stream cannot report it otherwise
		r.text += ": the backend has disconnected this client"
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.after = time.Duration(seconds) * time.Second
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err == nil && json.Unmarshal(b, &body) == nil && body.Error.Code != "" {
		r.code = body.Error.Code
		r.text += ": " + body.Error.Message + " (" + r.code + ")"
	}
	return r
}

// unreachable is the error for a server that does not respond; it states what to do.
func unreachable(base *url.URL, err error) error {
	return fmt.Errorf("no response from %s: %w (if the server is not running, start it with: peal serve; if it has another address, set --url or %s)", base, explainTLS(withoutAddress(err)), urlVariable)
}

// notPeal is the error for a response that Peal does not send.
func notPeal(base *url.URL) error {
	return fmt.Errorf("the response of %s is not one of Peal: check --url or %s", base, urlVariable)
}

// withoutAddress removes the address of the request from net/http's errors.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
