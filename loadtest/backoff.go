package loadtest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Backoff says how long clients wait before each attempt to come back, as browsers and
// client libraries do.
type Backoff struct {
	First  time.Duration `json:"first"` // an event stream's retry: and the time in the reason of a close replace it
	Max    time.Duration `json:"max"`
	Factor float64       `json:"factor"`          // from one delay to the next
	Jitter float64       `json:"jitter"`          // the share of a delay that is random
	Final  []int         `json:"final,omitempty"` // close codes and statuses after which they stay away
}

// ParseBackoff reads "100ms..5s", or with factor and jitter "100ms..5s,2,0.5".
func ParseBackoff(text string) (b Backoff, err error) {
	parts := strings.Split(text, ",")
	first, last, found := strings.Cut(parts[0], "..")
	b.First, err = time.ParseDuration(first)
	if found && err == nil {
		b.Max, err = time.ParseDuration(last)
	}
	b.Factor, b.Jitter = 2, 0.5
	for i, to := range []*float64{&b.Factor, &b.Jitter} {
		if i+1 < len(parts) && err == nil {
			*to, err = strconv.ParseFloat(parts[i+1], 64)
		}
	}
	if !found || err != nil || len(parts) > 3 || b.First <= 0 || b.Max < b.First || !(b.Factor >= 1) || !(b.Jitter >= 0 && b.Jitter <= 1) {
		return b, fmt.Errorf("%q: must be like 100ms..5s, or with factor and jitter 100ms..5s,2,0.5", text)
	}
	return b, nil
}

// delay is before an attempt, from 0 on. first is what the server wants instead of
// First; 0: nothing. A nil Backoff waits always as long.
func (b *Backoff) delay(attempt uint8, first time.Duration) time.Duration {
	if b == nil {
		return retryAfter
	}
	if first == 0 {
		first = b.First
	}
	d := min(float64(first)*math.Pow(b.Factor, float64(attempt)), float64(max(b.Max, first)))
	return time.Duration(d * (1 - b.Jitter*rand.Float64()))
}

// finalError is the end of a connection after which the client must not come back.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// judge is err, as a finalError if a client must stay away after code.
func (b *Backoff) judge(code int, err error) error {
	if b != nil && slices.Contains(b.Final, code) {
		return finalError{err}
	}
	return err
}

// final reports whether the client must stay away.
func final(err error) bool {
	var f finalError
	return errors.As(err, &f)
}

// Reconnect makes subscribers of t come back by b, until the server tells them to stay away:
// event streams by 204, Peal's also by the close codes and statuses that are final there.
func (t *Target) Reconnect(s *Spec, b Backoff) {
	if s.Transport == SSE {
		b.Final = append(b.Final, 204)
	}
	if t.Peal() {
		b.Final = append(b.Final, 401, 403, 4401, 4403, 4410, 4413)
	}
	s.Resume, s.Backoff = true, &b
}
