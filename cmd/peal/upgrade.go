package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"peal/server/upgrade"
)

func newUpgrade() *cobra.Command {
	var a *adminListener
	var binary string
	var process int
	var asJSON bool
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a running server go on as the program that is installed now",
		Long: `Asks the admin listener of a running server (peal serve --admin) to start the program at
its own path again, with the same arguments and its configuration as it is now, and to
hand its log and its connections over. Clients stay connected and notice nothing, but for
those over TLS, which come back by themselves. If the new program cannot go on, the
running server does, the reason is printed, and the exit code is 1. The signal SIGUSR2 does the
same, and writes the result to the log; --pid sends it, and waits.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if process != 0 {
				if a.url != "" || a.admin != "" || binary != "" || asJSON {
					return usageError{errors.New("upgrade: --pid sends a signal, and has neither --admin nor --url nor --binary nor --json")}
				}
				ctx, cancel := context.WithTimeout(c.Context(), a.timeout)
				defer cancel()
				if err := succeed(ctx, process); err != nil {
					return fmt.Errorf("upgrade: %w", err)
				}
				fmt.Fprintf(c.OutOrStdout(), "process %d has handed over\n", process)
				return nil
			}
			query := ""
			if binary != "" {
				path, err := filepath.Abs(binary)
				if err != nil {
					return err
				}
				query = "?binary=" + url.QueryEscape(path)
			}
			text, err := a.do(c.Context(), http.MethodPost, query)
			if err != nil {
				return err
			}
			var r upgrade.Report
			if err := json.Unmarshal([]byte(text), &r); asJSON || err != nil {
				fmt.Fprintln(c.OutOrStdout(), text)
				return nil
			}
			printReport(c.OutOrStdout(), &r)
			return nil
		},
	}
	a = adminFlags(c.Flags(), "upgrade", "/upgrade", false, 6*time.Minute, "how long the response may take: the new process reads the log")
	f := c.Flags()
	f.StringVar(&binary, "binary", "", "path of another program to start; only through an admin listener on a Unix socket, as the user of the server or root")
	f.IntVar(&process, "pid", 0, "process of the server, to use a signal in place of the admin listener")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// printReport prints what an upgrade has done.
func printReport(w io.Writer, r *upgrade.Report) {
	fmt.Fprintf(w, "upgraded     %s (process %d) to %s (process %d) in %v\n", r.VersionBefore, r.ProcessBefore, r.Version, r.Process, span(r.Took))
	fmt.Fprintf(w, "connections  %d handed over, which waited for %v\n", r.Connections, span(r.Pause))
	for _, why := range slices.Sorted(maps.Keys(r.Stayed)) {
		fmt.Fprintf(w, "stayed       %d: %s; they come back by themselves\n", r.Stayed[why], why)
	}
}

// span is that many milliseconds, for a person.
func span(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(100 * time.Microsecond)
}
