package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// askAdmin sends a request to the admin listener of a running server for a command,
// and prints the response. It returns nil if the response is 200.
func askAdmin(ctx context.Context, command, method, url string, trusted *trust, stdout io.Writer) error {
	text, err := readAdmin(ctx, command, method, url, trusted)
	if err == nil {
		fmt.Fprintln(stdout, text)
	}
	return err
}

// maxAdmin is how much of a response is read: the status of 1,024 nodes has less, and so has a
// page of 1,000 connections.
const maxAdmin = 16 << 20

// readAdmin sends a request, and returns the body of a response that is 200.
func readAdmin(ctx context.Context, command, method, url string, trusted *trust) (string, error) {
	config, err := trusted.config()
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", usageError{fmt.Errorf("%s: %w", command, err)}
	}
	// A client of its own: the request must not go through a proxy that the
	// environment names.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("%s: %w (is the server running, with --admin?)", command, explainTLS(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdmin))
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", command, url, err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		var failure struct{ Error struct{ Message string } }
		if json.Unmarshal(body, &failure) == nil && failure.Error.Message != "" {
			text = failure.Error.Message
		}
		return "", fmt.Errorf("%s: %s responds with %s: %s", command, url, response.Status, text)
	}
	return text, nil
}
