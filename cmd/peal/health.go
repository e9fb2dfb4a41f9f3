package main

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var a *adminListener
	var ready bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Check the health of a running server: exit code 0 or 1",
		Long: `Sends a request to the admin listener of a running server (peal serve --admin).
The exit code is 0 if the response is 200, and 1 otherwise. Use it for health
checks in places without curl, such as the container image.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if ready {
				a.path = "/readyz"
			}
			return a.print(c.Context(), http.MethodGet, c.OutOrStdout())
		},
	}
	f := c.Flags()
	a = adminFlags(f, "health", "/healthz", false, 3*time.Second, "how long the response may take")
	f.BoolVar(&ready, "ready", false, "request /readyz, which unlike /healthz fails while the server reads its log, and while it drains")
	return c
}
