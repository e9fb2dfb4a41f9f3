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
	return f.String("url", start, "where the server is (also "+urlVariable+")")
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

// refusal is an answer other than the one hoped for.
type refusal struct {
	status int
	text   string
	after  time.Duration // Retry-After; 0 without
}

func (r *refusal) Error() string { return r.text }

// final reports whether the same request would be refused again.
func (r *refusal) final() bool {
	return r.status < 500 && r.status != http.StatusTooManyRequests && r.status != http.StatusRequestTimeout
}

// maxRefusal is how much of a refusal is read.
const maxRefusal = 64 << 10

// refused makes an error of a server's answer: its own words, if they are Peal's.
func refused(answer *http.Response) *refusal {
	r := &refusal{status: answer.StatusCode, text: "the server answers " + answer.Status}
	if r.status == http.StatusNoContent { // an event stream has no other word for it
		r.text += ": the backend has disconnected this client"
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.after = time.Duration(seconds) * time.Second
	}
	var said struct {
		Error struct{ Code, Message string }
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	if err == nil && json.Unmarshal(b, &said) == nil && said.Error.Code != "" {
		r.text += ": " + said.Error.Message + " (" + said.Error.Code + ")"
	}
	return r
}

// unreachable says what to do when no server answers.
func unreachable(base *url.URL, err error) error {
	return fmt.Errorf("no answer from %s: %w (is it running? start it with: peal serve; or say where it is with --url or %s)", base, withoutAddress(err), urlVariable)
}

// withoutAddress takes the whole address of the request out of net/http's errors.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
