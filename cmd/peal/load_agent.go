package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"peal/loadtest"
)

func newAgent() *cobra.Command {
	var listen, tokenFile string
	c := &cobra.Command{
		Use:   "agent",
		Short: "Lend this machine to load tests that run elsewhere",
		Long: `Runs the subscribers of load tests that name this machine with --agent. Each test gets
processes of its own, which end with it. Clocks are compared, so the machines need no
common time. What is sent is not encrypted: use a private network.

Everybody with the token can have this machine open connections to any server.`,
		Example: `  head -c 24 /dev/urandom | base64 > token
  peal load agent --listen 10.0.0.2:7070 --agent-token-file token
  peal load fanout --target ws://10.0.0.9:8080 --agent 10.0.0.2:7070 --agent 10.0.0.3:7070 --agent-token-file token`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			token, err := loadtest.ReadAgentToken(tokenFile)
			if err != nil {
				return usageError{err}
			}
			if token == "" && !isLoopback(listen) {
				return usageError{fmt.Errorf("--listen %s: other machines can reach it, so it needs --agent-token-file", listen)}
			}
			l, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", listen)
			if err != nil {
				return usageError{fmt.Errorf("--listen: %w", err)}
			}
			say := func(format string, args ...any) { fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...) }
			say("agent of load tests, listens on %s", l.Addr())
			if err := loadtest.ServeAgent(c.Context(), l, token, say); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:7070", "address to serve on")
	f.StringVar(&tokenFile, "agent-token-file", "", "file with the token that load tests must know, too")
	return c
}

// isLoopback reports whether only this machine reaches an address to listen on.
func isLoopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().IsLoopback()
}
