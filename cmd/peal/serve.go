package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"peal/server"
)

func newServe() *cobra.Command {
	var config server.Config
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
			return serve(c.Context(), config, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringArrayVar(&config.Listen, "listen", nil, "address to listen on, host:port or unix:/path; repeatable (default 127.0.0.1:8080 and [::1]:8080)")
	f.IntVar(&config.Loop.Loops, "loops", 0, "event loops (default one for each core)")
	f.BoolVar(&config.Open, "open", false, "allow addresses that others can reach: everybody there may publish and subscribe")
	f.StringVar(&config.Admin, "admin", "", "address for health, metrics and profiles, as in 127.0.0.1:8081; never public")
	f.DurationVar(&config.Drain, "drain", 10*time.Second, "how long clients are given when the server ends")
	f.IntVar(&config.Loop.MaxConnections, "max-connections", 0, "connections at a time (default what the descriptor limit leaves)")
	f.IntSliceVar(&config.Inherit, "inherit", nil, "number of a listening descriptor inherited from the parent process; repeatable")
	return c
}

func serve(ctx context.Context, config server.Config, stdout io.Writer) error {
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	s, err := server.New(config)
	if err != nil {
		return err
	}
	welcome(stdout, s.Addrs())

	stats := make(chan os.Signal, 1)
	signal.Notify(stats, unix.SIGUSR1)
	defer signal.Stop(stats)
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with serve
		for {
			select {
			case <-done:
				return
			case <-stats:
				soon, cancel := context.WithTimeout(ctx, time.Second)
				st, err := s.Stats(soon)
				cancel()
				if err == nil {
					fmt.Fprintln(stdout, st.JSON())
				}
			}
		}
	}()
	return s.Run(ctx)
}

// welcome says what to do next.
func welcome(w io.Writer, addrs []net.Addr) {
	var page string
	var all []string
	for _, a := range addrs {
		if a.Network() == "unix" {
			all = append(all, "unix:"+a.String())
			continue
		}
		all = append(all, a.String())
		if page == "" {
			page = "http://" + a.String()
		}
	}
	fmt.Fprintf(w, "Peal listens on %s\n", strings.Join(all, ", "))
	if page != "" {
		fmt.Fprintf(w, "See it live:  %s/\nPublish:      curl -d 'hello' %s/publish\n", page, page)
	}
}
