package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newPub() *cobra.Command {
	var p publisher
	var address *string
	var proven *proof
	var trusted *trust
	c := &cobra.Command{
		Use:   "pub CHANNEL [DATA|-]",
		Short: "Publish a message, or each line of standard input",
		Example: `  peal pub news 'hello'
  tail -f app.log | peal pub log
  PEAL_KEY=$(cat shop.key) peal pub orders.7 '{"paid":true}'`,
		Args: func(c *cobra.Command, args []string) error {
			return usage(c, cobra.RangeArgs(1, 2)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			base, err := parseURL(*address)
			if err != nil {
				return err
			}
			if p.header, err = proven.header(keyVariable); err != nil {
				return err
			}
			if p.client, _, err = trusted.client(); err != nil {
				return err
			}
			p.base, p.query, p.stdout = base, url.Values{"channel": args[:1]}, c.OutOrStdout()
			if p.event != "" {
				p.query.Set("event", p.event)
			}
			if len(args) == 2 && args[1] != "-" {
				return proven.explain(p.publish(c.Context(), args[1]))
			}
			return proven.explain(p.lines(c.Context(), c.InOrStdin()))
		},
	}
	f := c.Flags()
	address = urlFlag(f)
	proven = proofFlags(f)
	trusted = trustFlags(f)
	f.StringVar(&p.event, "event", "", "name of the event that browsers receive")
	f.BoolVar(&p.cursors, "cursor", false, "print the cursor of each message")
	return c
}

// publisher publishes to one channel.
type publisher struct {
	base    *url.URL
	query   url.Values
	header  http.Header
	client  *http.Client
	event   string
	cursors bool
	stdout  io.Writer
}

// maxLine is the longest line of standard input; servers accept far less.
const maxLine = 64 << 20

// lines publishes each line as it arrives.
func (p *publisher) lines(ctx context.Context, in io.Reader) error {
	lines, ended := make(chan string), make(chan error, 1)
	go func() { // ends with standard input or, while that is silent, with the process
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
		ended <- s.Err()
	}()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("read standard input: %w", err)
			}
			return nil
		case line := <-lines:
			if err := p.publish(ctx, line); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
}

// publishTries is how often a message is sent to a full or busy server.
const publishTries = 30

// publish publishes one message and waits while the server is full.
func (p *publisher) publish(ctx context.Context, data string) error {
	for try := 1; ; try++ {
		err := p.post(ctx, data)
		var r *refusal
		if !errors.As(err, &r) || r.after == 0 || r.final() || try == publishTries {
			return err
		}
		if !pause(ctx, r.after) {
			return err
		}
	}
}

// postTimeout bounds one request.
const postTimeout = 30 * time.Second

func (p *publisher) post(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint(p.base, "publish", p.query).String(), strings.NewReader(data))
	if err != nil {
		return err
	}
	maps.Copy(request.Header, p.header)
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := p.client.Do(request)
	if err != nil {
		return unreachable(p.base, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refused(response)
	}
	var body struct{ Cursor string }
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || body.Cursor == "" {
		return notPeal(p.base)
	}
	// Read the rest, so that the connection can be used for the next line.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxRefusal)); err != nil {
		return err
	}
	if p.cursors {
		if _, err := fmt.Fprintln(p.stdout, body.Cursor); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// pause waits for d, and reports whether ctx let it wait that long.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
