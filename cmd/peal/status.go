package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"peal/server/cluster"
	"peal/server/inspect"
)

func newStatus() *cobra.Command {
	var asJSON bool
	var a *adminListener
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes of a running server's log, and how far each has read",
		Long: `Asks the admin listener of a running server (peal serve --admin) for its log and for
the nodes that it shares it with. Any node knows all of them.

A node is live, stale (silent for several heartbeats, or behind for longer than --node-lease),
left (it was stopped) or dead (the others have taken it for dead). LAG is how many entries it had
not read, and BEHIND how long it had not read everything, as of its last heartbeat, which HEARD ago
it sent. The exit code is 1 if a node is stale, or if the log cannot be written.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return status(c.Context(), a, asJSON, c.OutOrStdout())
		},
	}
	f := c.Flags()
	a = adminFlags(f, "status", "/cluster", false, 5*time.Second, "how long one response may take")
	f.BoolVar(&asJSON, "json", false, "print the status as JSON")
	return c
}

func status(ctx context.Context, a *adminListener, asJSON bool, stdout io.Writer) error {
	text, err := a.do(ctx, http.MethodGet, "")
	if err != nil {
		return err
	}
	var s cluster.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || len(s.Nodes) == 0 {
		return errors.New("status: the response is not a status: give the address of peal serve --admin")
	}
	if asJSON {
		fmt.Fprintln(stdout, text)
	} else {
		printStatus(stdout, &s)
		printLive(ctx, a, stdout)
	}
	var faults []string
	for _, n := range s.Nodes {
		if n.State == cluster.Stale.String() {
			faults = append(faults, fmt.Sprintf("node %s (%s) is stale", n.Name, n.ID))
		}
	}
	if s.Log.Failing != "" {
		faults = append(faults, "the log cannot be written: "+s.Log.Failing)
	}
	if len(faults) > 0 {
		return fmt.Errorf("status: %s", strings.Join(faults, "; "))
	}
	return nil
}

// printLive prints what the node that was asked does; nothing for a server that does not tell.
func printLive(ctx context.Context, a *adminListener, w io.Writer) {
	var v inspect.Live
	if a.path != "/cluster" {
		return
	}
	text, err := a.ask(ctx, http.MethodGet, "/live")
	if err != nil || json.Unmarshal([]byte(text), &v) != nil || v.Started == 0 {
		return
	}
	n, c, m := &v.Connections, &v.Counters, &v.Memory
	fmt.Fprintf(w, "\nthis node  %s\n", plain(v.State, 200))
	if v.Process != 0 {
		u := &v.Upgrades
		fmt.Fprintf(w, "process    %d", v.Process)
		if l := u.Last; l != nil {
			fmt.Fprintf(w, ", which serves since upgrade %d, %s ago, from %s: %d connections waited for %v, and %d were asked to come back",
				u.Completed, ms(max(0, v.At-l.At)), plain(l.VersionBefore, 30), l.Connections, span(l.Pause), l.Stayed)
		}
		fmt.Fprintf(w, "; first process %s ago\n", ms(max(0, v.At-u.Began)))
	}
	fmt.Fprintf(w, "clients    %d: %d websocket, %d sse, %d poll, %d http; %d slow, %d catch up\n", n.All, n.WebSocket, n.SSE, n.Poll, n.HTTP, n.Stalled, n.Behind)
	fmt.Fprintf(w, "memory     %s", size(float64(m.Resident)))
	if m.Limit > 0 {
		fmt.Fprintf(w, " of %s", size(float64(m.Limit)))
	}
	fmt.Fprintf(w, "\nstart      %d publications, %d deliveries, %d gaps, %d refusals since then; peal top shows rates\n", c.Publications, c.Deliveries, c.Gaps, c.Refusals)
}

func printStatus(w io.Writer, s *cluster.Status) {
	l := &s.Log
	fmt.Fprintf(w, "log      %s, epoch %s, entries %d to %d", l.Engine, l.Epoch, l.Oldest, l.Head)
	if l.Shared {
		fmt.Fprintf(w, " of %d known, read %s ago\n", l.Known, ms(l.Behind))
		fmt.Fprintf(w, "since    the start of this node: %d reconnects, %d epochs, %d losses, %d entries skipped", l.Reconnects, l.Epochs, l.Lost, l.Skipped+s.Skipped)
	}
	fmt.Fprintf(w, "\nstate    %s\n\n", plain(cmp.Or(l.Failing, "can be written"), 300))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tID\tVERSION\tSTATE\tCONNECTIONS\tHEAD\tLAG\tBEHIND\tHEARD\tUP\t")
	for _, n := range s.Nodes {
		self := ""
		if n.Self {
			self = "this node"
		}
		up := time.Since(time.UnixMilli(n.Started)).Round(time.Second)
		if n.State == cluster.Left.String() || n.State == cluster.Dead.String() {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t-\t%d\t-\t-\t%s\t-\t\n", plain(n.Name, 60), n.ID, plain(n.Version, 30), n.State, n.Head, ms(n.Heard))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", plain(n.Name, 60), cmp.Or(n.ID, "-"), plain(n.Version, 30), n.State, n.Connections, n.Head, n.Lag, ms(n.Behind), ms(n.Heard), up, self)
	}
	_ = t.Flush() // to a terminal or a pipe: as for every line
}

// ms is that many milliseconds for a person.
func ms(n int64) string {
	d := time.Duration(n) * time.Millisecond
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return d.String()
}
