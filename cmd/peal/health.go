package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var url string
	var timeout time.Duration
	var trusted *trust
	c := &cobra.Command{
		Use:   "health",
		Short: "Check the health of a running server: exit code 0 or 1",
		Long: `Sends a request to the admin listener of a running server (peal serve --admin).
The exit code is 0 if the response is 200, and 1 otherwise. Use it for health
checks in places without curl, such as the container image.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return health(ctx, url, trusted, c.OutOrStdout())
		},
	}
	f := c.Flags()
	trusted = trustFlags(f).proving(f)
	f.StringVar(&url, "url", "http://127.0.0.1:8081/healthz", "URL to request; /readyz, unlike /healthz, fails while the server reads its log, and while it drains")
	f.DurationVar(&timeout, "timeout", 3*time.Second, "how long the response may take")
	return c
}

// health returns nil if url responds with 200, and prints the response.
func health(ctx context.Context, url string, trusted *trust, stdout io.Writer) error {
	return askAdmin(ctx, "health", http.MethodGet, url, trusted, stdout)
}
