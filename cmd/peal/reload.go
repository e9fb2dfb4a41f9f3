package main

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var url string
	var timeout time.Duration
	var trusted *trust
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
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return askAdmin(ctx, "reload", http.MethodPost, url, trusted, c.OutOrStdout())
		},
	}
	f := c.Flags()
	trusted = trustFlags(f).proving(f)
	f.StringVar(&url, "url", "http://127.0.0.1:8081/reload", "URL of the admin listener; https:// if it has --admin-tls-cert")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long the response may take")
	return c
}
