package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"peal/loadtest/chaos"
	"peal/loadtest/child"
)

// receivers is how many webhooks there are.
const receivers = 4

// hooks has the run receive webhooks, and writes the file that tells the server of them, in a new directory. admin is the
// operator's listener of the server.
func (o *options) hooks(admin string) (args []string, dir string, err error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, "", err
	}
	if dir, err = os.MkdirTemp("", "peal-chaos-webhooks-"); err != nil {
		return nil, "", err
	}
	h := &chaos.Webhooks{Addr: child.Loopback(port), Count: receivers, Secret: fmt.Sprintf("chaos-%064x", o.Seed), Kick: kick(admin)}
	var b strings.Builder
	b.WriteString("webhooks:\n")
	for i := range h.Count {
		fmt.Fprintf(&b, "  - {name: receiver-%d, url: \"http://%s/%d\", events: [publication], channels: [\"*\"], secret: %s, timeout: 400ms, allow-private: true}\n", i, h.Addr, i, h.Secret)
	}
	file := filepath.Join(dir, "peal.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	o.Webhooks = h
	return []string{"--config", file}, dir, nil
}

// kick has a server send now what waits for its next attempt. One that is not there is no error: it is asked again.
func kick(admin string) func(ctx context.Context) {
	return func(ctx context.Context) {
		for i := range receivers {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/webhooks/retry?webhook=receiver-%d", admin, i), nil)
			if err != nil {
				return
			}
			if response, err := http.DefaultClient.Do(r); err == nil {
				response.Body.Close()
			}
		}
	}
}
