package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var url string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running server whether it is well: exit code 0 or 1",
		Long: `Asks the admin listener of a running server (peal serve --admin) whether it is
well. The exit code is 0 if it answers 200, and 1 otherwise: for health checks
where there is no curl, as in the container image.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return health(ctx, url, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&url, "url", "http://127.0.0.1:8081/healthz", "what to ask; /readyz instead of /healthz is false while draining")
	f.DurationVar(&timeout, "timeout", 3*time.Second, "how long it may take to answer")
	return c
}

// health returns nil if url answers 200, and prints what it says.
func health(ctx context.Context, url string, stdout io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{fmt.Errorf("health: %w", err)}
	}
	// A client of its own: a proxy from the environment has no business between
	// the check and the server beside it.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("health: %s: %w", url, err)
	}
	text := strings.TrimSpace(string(said))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s answers %s: %s", url, answer.Status, text)
	}
	fmt.Fprintln(stdout, text)
	return nil
}
