package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"peal/server/trace"
)

// traceEvery is how often peal trace --follow asks.
const traceEvery = time.Second

// traceFlags are whom and what peal trace asks about.
type traceFlags struct {
	from                  *adminListener
	user, session, cursor string
	channels              []string
	asJSON, follow        bool
}

func newTrace() *cobra.Command {
	var t traceFlags
	c := &cobra.Command{
		Use:   "trace",
		Short: "Show what became of a message for a client, and why it was not sent",
		Long: `Asks the admin listener of a running server (peal serve --admin --trace-lives N) what became of
one message: for each connection of the client whether the message was sent and confirmed, and by what, or why
it was not sent. The cursor is the one that the publisher received. Name a user or client name, a session id
(Peal-Session), or only a channel.

With --follow and no cursor, it shows each new message on the channels of the client.

The exit code is 0 if the message was sent, or the client had it; 1 otherwise.`,
		Example: `  peal trace --user 42 --cursor 1z141z4-1042
  peal trace --channel news --cursor 1z141z4-1042
  peal trace --user 42 --follow`,
		Args: noArgs,
	}
	f := c.Flags()
	t.from = adminFlags(f, "trace", "/trace", false, 10*time.Second, "how long a response may take")
	f.StringVar(&t.user, "user", "", "user of the token, or name of the client")
	f.StringVar(&t.session, "session", "", "session id of the client, 22 characters, or the number of its session in the server's logs")
	f.StringArrayVar(&t.channels, "channel", nil, "channel of the message; repeatable")
	f.StringVar(&t.cursor, "cursor", "", "cursor of the message")
	f.BoolVar(&t.follow, "follow", false, "show new messages as they come, until interrupted")
	f.BoolVar(&t.asJSON, "json", false, "print the responses as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case t.user == "" && t.session == "" && len(t.channels) == 0:
			return usageError{errors.New("trace: name whom it is about: --user, --session or --channel")}
		case t.follow == (t.cursor != ""):
			return usageError{errors.New("trace: give the --cursor of a message, or --follow for new ones")}
		case t.follow:
			return t.showNew(c.Context(), c.OutOrStdout())
		}
		return t.show(c.Context(), c.OutOrStdout(), t.cursor)
	}
	return c
}

// ask sends a question and decodes the response. It returns its text.
func (t *traceFlags) ask(ctx context.Context, behind, cursor string, into any) (string, error) {
	q := url.Values{"channel": t.channels}
	for name, value := range map[string]string{"user": t.user, "session": t.session, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	text, err := t.from.do(ctx, http.MethodGet, behind+"?"+q.Encode())
	if err != nil {
		if strings.Contains(err.Error(), "responds with 404 Not Found: 404") { // net/http's own
			return "", fmt.Errorf("%w (is this the address of --admin, and not of --listen? A server that is still starting, or from before this version, has no trace either)", err)
		}
		return "", err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return "", errors.New("trace: the response is no trace: give the URL of the admin listener with /trace")
	}
	return text, nil
}

// errNotSent ends peal trace with exit code 1.
var errNotSent = errors.New("trace: the message was not sent")

func (t *traceFlags) show(ctx context.Context, w io.Writer, cursor string) error {
	var r trace.Report
	text, err := t.ask(ctx, "", cursor, &r)
	if err != nil {
		return err
	}
	if r.Verdict == "" {
		return errors.New("trace: the response is no trace: give the URL of the admin listener with /trace")
	}
	if t.asJSON {
		fmt.Fprintln(w, text)
	} else {
		printTrace(w, &r)
	}
	if r.Verdict != trace.Sent.String() && r.Verdict != trace.Had.String() {
		return fmt.Errorf("%w: %s", errNotSent, safe(cmp.Or(r.Reason, r.Verdict)))
	}
	return nil
}

// showNew shows new messages until ctx ends. A message that is still to come is shown again when that
// has changed.
func (t *traceFlags) showNew(ctx context.Context, w io.Writer) error {
	var next string
	var pending []string
	shown := map[string]string{}
	for {
		var news trace.News
		if _, err := t.ask(ctx, "/new", next, &news); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		next = news.Next
		pending = append(pending, news.Cursors...)
		var waits []string
		for _, cursor := range pending {
			var r trace.Report
			text, err := t.ask(ctx, "", cursor, &r)
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if r.Verdict == trace.Behind.String() && len(waits) < mostPending {
				waits = append(waits, cursor)
			}
			if shown[cursor] == r.Verdict {
				continue
			}
			shown[cursor] = r.Verdict
			if t.asJSON {
				fmt.Fprintln(w, text)
			} else {
				printTrace(w, &r)
			}
		}
		pending = waits
		if len(shown) > 2*mostPending {
			clear(shown)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(traceEvery):
		}
	}
}

// mostPending is how many messages that are still to come peal trace --follow asks about again.
const mostPending = 1000

func printTrace(w io.Writer, r *trace.Report) {
	fmt.Fprintf(w, "message %s", safe(r.Cursor))
	if len(r.Channels) > 0 {
		fmt.Fprintf(w, " on %s, published %s", strings.Join(quoteAll(r.Channels), ", "), safe(r.Published))
	}
	fmt.Fprintf(w, ": %s", safe(r.Verdict))
	if r.Reason != "" {
		fmt.Fprintf(w, " (%s)", safe(r.Reason))
	}
	fmt.Fprintln(w)
	if r.Note != "" {
		fmt.Fprintf(w, "note: %s\n", safe(r.Note))
	}
	if len(r.Connections) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  SESSION\tNAME\tTRANSPORT\tADDRESS\tSINCE\tUNTIL\tVERDICT\tCONFIRMED\t")
	for i := range r.Connections {
		c := &r.Connections[i]
		verdict := c.Verdict
		if c.Detail != "" {
			verdict += ": " + c.Detail
		}
		if c.At != "" && c.Verdict != trace.Sent.String() {
			verdict += " at " + c.At
		}
		until := "open"
		if c.Ended != "" {
			until = c.Ended
			if c.How != "" {
				until += " (" + c.How + ")"
			}
		}
		confirmed := "-"
		switch {
		case c.Confirmed != nil:
			confirmed = c.Confirmed.By + " at " + c.Confirmed.At
		case c.Verdict == trace.Sent.String():
			confirmed = "unconfirmed"
		}
		name := "-"
		if c.Name != "" {
			name = fmt.Sprintf("%q", c.Name)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", safe(cmp.Or(c.Session, "-")), name, safe(cmp.Or(c.Transport, "-")), safe(cmp.Or(c.Address, "-")), safe(c.Began), safe(until), safe(verdict), safe(confirmed))
	}
	_ = t.Flush() // to a terminal or a pipe: as for every line
	if r.Omitted > 0 {
		fmt.Fprintf(w, "  %d further connections are not shown\n", r.Omitted)
	}
}

// safe is what a server says, for a terminal.
func safe(s string) string { return plain(s, 300) }

func quoteAll(names []string) (quoted []string) {
	for _, n := range names {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return quoted
}
