package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// transports are the ways a subscriber can be served: each is one life of a
// connection, which ends with an error.
var transports = map[string]func(*subscriber, context.Context) error{
	"ws":   (*subscriber).webSocket,
	"sse":  (*subscriber).eventStream,
	"poll": (*subscriber).poll,
}

func newSub() *cobra.Command {
	var s subscriber
	var address *string
	var transport string
	c := &cobra.Command{
		Use:   "sub CHANNEL…",
		Short: "Print what is published, a line each",
		Long: `Prints the data of each message, a line each, and goes on for ever or until --count
messages came. A lost connection is taken up again where it was left; messages
that are gone by then are said on standard error.`,
		Example: `  peal sub news
  peal sub news prices --json --last 10
  peal sub jobs --count 1 --transport poll`,
		Args: func(c *cobra.Command, args []string) error {
			return usage(c, cobra.MinimumNArgs(1)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			base, err := parseURL(*address)
			if err != nil {
				return err
			}
			serve, ok := transports[transport]
			switch flags := c.Flags(); {
			case !ok:
				return usageError{fmt.Errorf("--transport %q: must be ws, sse or poll", transport)}
			case flags.Changed("last") && flags.Changed("cursor"):
				return usageError{errors.New("--last and --cursor say two places to begin: leave one out")}
			case s.last < 0:
				return usageError{fmt.Errorf("--last %d: must be at least 0", s.last)}
			case flags.Changed("count") && s.count < 1:
				return usageError{fmt.Errorf("--count %d: must be at least 1; leave it out to go on for ever", s.count)}
			}
			s.base, s.channels, s.stdout, s.stderr = base, args, c.OutOrStdout(), c.ErrOrStderr()
			return s.follow(c.Context(), serve)
		},
	}
	f := c.Flags()
	address = urlFlag(f)
	f.StringVar(&transport, "transport", "ws", "ws, sse or poll")
	f.BoolVar(&s.json, "json", false, "print the whole message as JSON: channel, cursor, time, event, data")
	f.StringVar(&s.cursor, "cursor", "", "begin after this cursor, or with all that is kept: earliest")
	f.IntVar(&s.last, "last", 0, "begin with the newest so many messages")
	f.IntVar(&s.count, "count", 0, "end after so many messages")
	f.StringVar(&s.client, "client", "", "the name under which presence lists you, and POST /disconnect finds you")
	// The error is of a flag that does not exist.
	_ = c.RegisterFlagCompletionFunc("transport", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Sorted(maps.Keys(transports)), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// subscriber follows channels over one connection after another.
type subscriber struct {
	base     *url.URL
	channels []string
	last     int // 0: from now
	count    int // 0: for ever
	json     bool
	client   string // "": nameless
	stdout   io.Writer
	stderr   io.Writer

	cursor   string // where to go on; "" before the server said one
	printed  int
	answered bool // a server was reached: from then on one that is away is waited for
	moved    bool // something came over this connection
}

// errDone ends a subscriber that has printed as many messages as it should.
var errDone = errors.New("done")

// finalError is one that reconnecting would meet again.
type finalError struct{ error }

func (f finalError) Unwrap() error { return f.error }

// Clients of a server that was away come back spread over half the delay.
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
			return err
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
			missed = "; no cursor came yet, so messages of the meantime are missed"
		}
		fmt.Fprintf(s.stderr, "peal: disconnected: %v; reconnecting%s\n", withoutAddress(err), missed)
		if pause(ctx, wait) {
			delay = min(2*delay, maxDelay)
		}
	}
}

// query is where and what to subscribe, now.
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
		return finalError{fmt.Errorf("%s does not answer as Peal does: is the URL right?", s.base)}
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

// gap is part of what came after a cursor and is gone.
type gap struct{ Channel, From, To, Reason string }

func (s *subscriber) gap(g gap) {
	where := "up to " + g.To
	if g.From != "" {
		where = "after " + g.From + " " + where
	}
	fmt.Fprintf(s.stderr, "peal: gap: messages on %s %s are gone (%s)\n", g.Channel, where, strings.ReplaceAll(g.Reason, "_", " "))
}
