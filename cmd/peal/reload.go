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

func newReload() *cobra.Command {
	var url string
	var timeout time.Duration
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
			return reload(ctx, url, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&url, "url", "http://127.0.0.1:8081/reload", "URL of the admin listener")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long the response may take")
	return c
}

// reload posts to url and prints the response.
func reload(ctx context.Context, url string, stdout io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return usageError{fmt.Errorf("reload: %w", err)}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // as in health
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("reload: %w (start the server with --admin, or send it SIGHUP)", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("reload: %s: %w", url, err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: %s: %s", response.Status, text)
	}
	fmt.Fprintln(stdout, text)
	return nil
}
