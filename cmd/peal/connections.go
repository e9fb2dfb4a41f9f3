package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"peal/server/inspect"
)

func newConnections() *cobra.Command {
	var o connectionsOptions
	c := &cobra.Command{
		Use:   "connections [SESSION]",
		Short: "List the connections of a running server, or show one",
		Long: `Asks the admin listener of a running server (peal serve --admin) for its connections: all, or
those of a channel, a user or an address, or those that have not taken all there is (--behind). With
the id of a session, or its number in the server's log, it shows all that is known of that connection, or
how it has ended.

BEHIND is how many sequences of the log the client is behind the newest message of its channels: it
lacks at most so many messages.`,
		Args: func(c *cobra.Command, args []string) error { return usage(c, cobra.MaximumNArgs(1)(c, args)) },
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.session = args[0]
			}
			return connections(c.Context(), &o, c.OutOrStdout())
		},
	}
	f := c.Flags()
	o.from = adminFlags(f, "connections", "/connections", true, 10*time.Second, "how long one response may take")
	f.StringVar(&o.channel, "channel", "", "only those subscribed to this channel")
	f.StringVar(&o.user, "user", "", "only those of the client of this name")
	f.StringVar(&o.address, "address", "", "only those of this IP address or network; unix for Unix sockets")
	f.BoolVar(&o.behind, "behind", false, "only those that have not taken all there is")
	f.IntVar(&o.most, "limit", 100, "list at most so many; 0 for all")
	f.BoolVar(&o.json, "json", false, "print JSON: one connection a line")
	return c
}

type connectionsOptions struct {
	from                            *adminListener
	channel, user, address, session string
	behind, json                    bool
	most                            int
}

func connections(ctx context.Context, o *connectionsOptions, out io.Writer) error {
	if o.session != "" {
		if o.channel != "" || o.user != "" || o.address != "" || o.behind {
			return usageError{errors.New("connections: give a session, or --channel, --user, --address and --behind, but not both")}
		}
		var v map[string]any
		text, err := o.from.read(ctx, "/connections/"+url.PathEscape(o.session), &v)
		if err != nil {
			return goneText(o.session, err)
		}
		return printOne(out, text, v, o.json)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !o.json {
		fmt.Fprintln(t, "CLIENT\tADDRESS\tTRANSPORT\tDIALECT\tCHANNELS\tBEHIND\tWAITING\tSENT\tAGE\tSESSION")
	}
	left := o.most
	if left <= 0 {
		left = int(^uint(0) >> 1)
	}
	for after := ""; left > 0; {
		q := url.Values{"limit": {strconv.Itoa(min(left, inspect.LargestPage))}}
		for name, value := range map[string]string{"channel": o.channel, "user": o.user, "address": o.address, "after": after} {
			if value != "" {
				q.Set(name, value)
			}
		}
		if o.behind {
			q.Set("behind", "1")
		}
		var page inspect.Page
		if _, err := o.from.read(ctx, "/connections?"+q.Encode(), &page); err != nil {
			return err
		}
		for i := range page.Connections {
			if err := printConnection(out, t, &page.Connections[i], o.json); err != nil {
				return err
			}
		}
		left -= len(page.Connections)
		if after = page.Next; after == "" {
			break
		}
	}
	return t.Flush()
}

func printConnection(out, t io.Writer, c *inspect.Connection, asJSON bool) error {
	if asJSON {
		return printJSON(out, c)
	}
	behind, sent, age := "-", "-", "-"
	if c.Width > 0 {
		behind = strconv.FormatUint(c.Behind, 10)
	}
	if c.Traffic != nil {
		sent = size(float64(c.Traffic.Sent))
	}
	if c.Age != nil {
		age = (time.Duration(*c.Age) * time.Second).String()
	}
	var names []string
	for _, name := range c.Channels[:min(3, len(c.Channels))] {
		names = append(names, plain(name, 40))
	}
	channels := strings.Join(names, ",")
	if c.Width > len(names) {
		channels += fmt.Sprintf(" (%d)", c.Width)
	}
	_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(cmp.Or(c.Client, "-"), 40), c.Address, c.Transport, cmp.Or(c.Dialect, "-"), cmp.Or(channels, "-"), behind, size(float64(c.Waiting)), sent, age, c.Session)
	return err
}

// goneText says how a connection has ended, if that is what the response says.
func goneText(session string, err error) error {
	var r *adminRefusal
	var gone inspect.Gone
	if !errors.As(err, &r) || json.Unmarshal([]byte(r.body), &gone) != nil || gone.Session == "" {
		return err
	}
	if gone.End == nil {
		return fmt.Errorf("connections: no connection of session %s is open, and its end is not among the newest that are remembered", plain(session, 40))
	}
	e := gone.End
	code := ""
	if e.Code != 0 {
		code = fmt.Sprintf(" with code %d", e.Code)
	}
	return fmt.Errorf("connections: session %s is not open: the %s connection of %s (%s) ended %s ago%s: %s", plain(session, 40), e.Transport, plain(cmp.Or(e.Client, "an anonymous client"), 60), e.Address, time.Duration(e.Ago)*time.Second, code, plain(e.Reason, 200))
}

func printJSON(out io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintln(out, string(b))
	}
	return err
}

// printOne prints all that is known of one connection, a line for each field.
func printOne(out io.Writer, text string, v map[string]any, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintln(out, text)
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printFields(t, "", v)
	return t.Flush()
}

func printFields(t io.Writer, prefix string, v map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		switch value := v[name].(type) {
		case nil, bool:
			fmt.Fprintf(t, "%s%s\t%v\n", prefix, name, map[any]any{nil: "-", true: "yes", false: "no"}[value])
		case map[string]any:
			printFields(t, prefix+name+".", value)
		case []any:
			var all []string
			for _, one := range value {
				all = append(all, plain(fmt.Sprint(one), 200))
			}
			fmt.Fprintf(t, "%s%s\t%s\n", prefix, name, strings.Join(all, ", "))
		case json.Number:
			fmt.Fprintf(t, "%s%s\t%s\n", prefix, name, value)
		case float64:
			fmt.Fprintf(t, "%s%s\t%s\n", prefix, name, strconv.FormatFloat(value, 'f', -1, 64))
		default:
			fmt.Fprintf(t, "%s%s\t%s\n", prefix, name, plain(fmt.Sprint(value), 1000))
		}
	}
}
