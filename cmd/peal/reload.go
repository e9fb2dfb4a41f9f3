package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newReload() *cobra.Command {
	var a *adminListener
	var process int
	var orUpgrade bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running server read its configuration again",
		Long: `Asks the admin listener of a running server (peal serve --admin) to read its
configuration and the files that it names again: keys, secrets, rules, origins. Nobody is
disconnected, except connections whose key is no longer there. If anything in the
new configuration is wrong, all of the old one stays, the fault is printed, and the exit code
is 1. The signal SIGHUP does the same, and writes the result to the log; --pid sends it. With --or-upgrade
a server that runs another program than this one is upgraded instead (peal upgrade), which
reads the configuration as well.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case orUpgrade && process == 0:
				return usageError{errors.New("reload: --or-upgrade needs --pid")}
			case process != 0:
				ctx, cancel := context.WithTimeout(c.Context(), a.timeout)
				defer cancel()
				if err := reloadProcess(ctx, process, orUpgrade); err != nil {
					return fmt.Errorf("reload: %w", err)
				}
				return nil
			}
			return a.print(c.Context(), http.MethodPost, c.OutOrStdout())
		},
	}
	a = adminFlags(c.Flags(), "reload", "/reload", false, 10*time.Second, "how long the response may take; an upgrade reads the log")
	c.Flags().IntVar(&process, "pid", 0, "process of the server, to use a signal in place of the admin listener")
	c.Flags().BoolVar(&orUpgrade, "or-upgrade", false, "with --pid: upgrade the server if it runs another program than this one")
	return c
}

// reloadProcess has a process reload by a signal, or upgrades it.
func reloadProcess(ctx context.Context, process int, orUpgrade bool) error {
	if orUpgrade {
		same, err := sameProgram(process)
		if err != nil {
			return err
		}
		if !same {
			return succeed(ctx, process)
		}
	}
	if err := unix.Kill(process, unix.SIGHUP); err != nil {
		return fmt.Errorf("process %d: %w", process, err)
	}
	return nil
}
