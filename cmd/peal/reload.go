package main

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var a *adminListener
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running server read its configuration again",
		Long: `Asks the admin listener of a running server (peal serve --admin) to read its
configuration and the files that it names again: keys, secrets, rules, origins. Nobody is
disconnected, except connections whose key is no longer there. If anything in the
new configuration is wrong, all of the old one stays, the fault is printed, and the exit code
is 1. The signal SIGHUP does the same, and writes the result to the log.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.print(c.Context(), http.MethodPost, c.OutOrStdout())
		},
	}
	a = adminFlags(c.Flags(), "reload", "/reload", false, 10*time.Second, "how long the response may take")
	return c
}
