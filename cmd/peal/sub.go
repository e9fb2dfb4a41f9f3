package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// transports are the functions that serve a subscriber, by name. Each runs one
// connection, or polls, until they end with an error.
var transports = map[string]func(*subscriber, context.Context) error{
	"ws":   (*subscriber).webSocket,
	"sse":  (*subscriber).eventStream,
	"poll": (*subscriber).poll,
}

func newSub() *cobra.Command {
	var s subscriber
	var address *string
	var proven *proof
	var trusted *trust
	var transport string
	c := &cobra.Command{
		Use:   "sub CHANNEL…",
		Short: "Print published messages, one a line",
		Long: `Prints the data of each message, one a line, until it has received --count
messages; without --count it does not end. After a lost connection it reconnects,
resumes, and reports messages that are no longer available on standard error.

It does not renew its token: when that expires, it ends with exit code 1, and
prints the cursor to continue from with another one.`,
		Example: `  peal sub news
  peal sub news prices --json --last 10
  peal sub jobs --count 1 --transport poll
  PEAL_TOKEN=$(peal token --sub 42 --subscribe 'orders.*') peal sub orders.7`,
		Args: func(c *cobra.Command, args []string) error {
			return usage(c, cobra.MinimumNArgs(1)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			base, err := parseURL(*address)
			if err != nil {
				return err
			}
			if s.header, err = proven.header(tokenVariable); err != nil {
				return err
			}
			if s.http, s.trust, err = trusted.client(); err != nil {
				return err
			}
			serve, ok := transports[transport]
			switch flags := c.Flags(); {
			case !ok:
				return usageError{fmt.Errorf("--transport %q: must be ws, sse or poll", transport)}
			case flags.Changed("last") && flags.Changed("cursor"):
				return usageError{errors.New("--last and --cursor are two different start positions: use only one of them")}
			case s.last < 0:
				return usageError{fmt.Errorf("--last %d: must be at least 0", s.last)}
			case flags.Changed("count") && s.count < 1:
				return usageError{fmt.Errorf("--count %d: must be at least 1; omit it to receive messages without an end", s.count)}
			}
			s.base, s.channels, s.stdout, s.stderr = base, args, c.OutOrStdout(), c.ErrOrStderr()
			return proven.explain(s.follow(c.Context(), serve))
		},
	}
	f := c.Flags()
	address = urlFlag(f)
	proven = proofFlags(f)
	trusted = trustFlags(f)
	f.StringVar(&transport, "transport", "ws", "ws, sse or poll")
	f.BoolVar(&s.json, "json", false, "print the whole message as JSON: channel, cursor, time, event, data")
	f.StringVar(&s.cursor, "cursor", "", "start after this cursor; earliest: start with all retained messages")
	f.IntVar(&s.last, "last", 0, "start with this number of newest messages")
	f.IntVar(&s.count, "count", 0, "exit after this number of messages")
	f.StringVar(&s.client, "client", "", "name of this client for presence and POST /disconnect")
	// The only error is an unknown flag.
	_ = c.RegisterFlagCompletionFunc("transport", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Sorted(maps.Keys(transports)), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// subscriber follows channels over one connection after another.
type subscriber struct {
	base     *url.URL
	channels []string
	last     int // 0: from now on
	count    int // 0: without an end
	json     bool
	client   string // "": nameless
	http     *http.Client
	trust    *tls.Config // of WebSockets; nil: the default
	header   http.Header
	stdout   io.Writer
	stderr   io.Writer

	cursor   string // where to resume; "" before the server sent one
	printed  int
	answered bool // a server has responded: from then on, connection errors cause a reconnect
	moved    bool // this connection has delivered something
}

// errDone ends a subscriber that has printed as many messages as it should.
var errDone = errors.New("done")

// finalError is an error that a reconnect would not change.
type finalError struct{ error }

func (f finalError) Unwrap() error { return f.error }

// After an outage, clients reconnect spread over half the delay.
const (
	minDelay = 200 * time.Millisecond
	maxDelay = 10 * time.Second
)

// follow serves the subscriber until it is done, ctx ends or a refusal is final.
func (s *subscriber) follow(ctx context.Context, serve func(*subscriber, context.Context) error) error {
	delay := minDelay
	for {
		s.moved = false
		err := serve(s, ctx)
		var final finalError
		var r *refusal
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			if s.count > 0 {
				return fmt.Errorf("ended after %d of %d messages", s.printed, s.count)
			}
			return nil
		case errors.As(err, &final), errors.As(err, &r) && r.final():
			return s.expired(err)
		case !s.answered && r == nil:
			return unreachable(s.base, err)
		}
		s.answered = true
		if s.moved {
			delay = minDelay
		}
		wait := delay/2 + rand.N(delay/2+1)
		if r != nil {
			wait += r.after
		}
		missed := ""
		if s.cursor == "" && s.last == 0 {
			missed = "; no cursor received yet, so messages published meanwhile are missed"
		}
		fmt.Fprintf(s.stderr, "peal: disconnected: %v; reconnecting%s\n", withoutAddress(err), missed)
		if pause(ctx, wait) {
			delay = min(2*delay, maxDelay)
		}
	}
}

// expired adds to the error that ends a subscriber how to go on where it stands, if
// another token changes that.
func (s *subscriber) expired(err error) error {
	var r *refusal
	if s.cursor == "" || !errors.As(err, &r) || r.status != http.StatusUnauthorized {
		return err
	}
	return fmt.Errorf("%w; to continue without a gap, add --cursor %s", err, s.cursor)
}

// query selects the channels and the position to subscribe from, now.
func (s *subscriber) query() url.Values {
	q := url.Values{"channel": s.channels, "format": {"json"}}
	if s.client != "" {
		q.Set("client", s.client)
	}
	switch {
	case s.cursor != "":
		q.Set("cursor", s.cursor)
	case s.last > 0:
		q.Set("last", strconv.Itoa(s.last))
	}
	return q
}

// at moves the subscriber's cursor.
func (s *subscriber) at(cursor string) {
	if cursor != "" {
		s.cursor, s.moved = cursor, true
	}
}

// message prints one message, given as its JSON object.
func (s *subscriber) message(object []byte) error {
	var m struct {
		Cursor string
		Data   string
		Binary []byte `json:"data_base64"`
	}
	if err := json.Unmarshal(object, &m); err != nil || m.Cursor == "" {
		return finalError{notPeal(s.base)}
	}
	var line []byte
	switch {
	case s.json:
		line = append(line, object...)
	case m.Binary != nil:
		line = m.Binary
	default:
		line = []byte(m.Data)
	}
	if _, err := s.stdout.Write(append(line, '\n')); err != nil {
		return finalError{fmt.Errorf("write: %w", err)}
	}
	s.at(m.Cursor)
	if s.printed++; s.printed == s.count {
		return errDone
	}
	return nil
}

// gap reports messages after a cursor that are no longer available.
type gap struct{ Channel, From, To, Reason string }

func (s *subscriber) gap(g gap) {
	where := "up to " + g.To
	if g.From != "" {
		where = "after " + g.From + " " + where
	}
	fmt.Fprintf(s.stderr, "peal: gap: messages on %s %s are gone (%s)\n", g.Channel, where, strings.ReplaceAll(g.Reason, "_", " "))
}
