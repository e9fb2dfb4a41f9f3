package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"peal/server"
	"peal/server/logging"
	"peal/server/settings"
)

func newServe() *cobra.Command {
	var file string
	var printConfig, check bool
	flags := map[string][]string{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Starts the server. Nothing has to be set. Flags win over the environment (--drain
is PEAL_DRAIN there), the environment over the file that --config names (where it
is a line "drain: 10s"), and the file over the defaults. Rules for single channels
stand in the file only, under "channels:"; see docs/configuration.md.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings.Load(settings.Input{Flags: flags, Environment: os.Environ(), File: file})
			switch {
			case err != nil:
				return usageError{err}
			case printConfig:
				_, err := io.WriteString(c.OutOrStdout(), s.YAML())
				return err
			case check:
				_, err := fmt.Fprintln(c.OutOrStdout(), "The configuration is good.")
				return err
			}
			words := s.Config.WithDefaults()
			log := logging.Open(c.ErrOrStderr(), words.LogFormat, words.LogLevel)
			defer log.Close()
			s.Config.Log = log.Logger
			return serve(c.Context(), s.Config, log, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&file, "config", "", "YAML file with settings (also "+settings.ConfigVariable+")")
	f.BoolVar(&printConfig, "print-config", false, "print the settings in force as YAML, with where each came from, and end")
	f.BoolVar(&check, "check", false, "say whether the configuration is good, and end")
	for _, s := range settings.All() {
		v := f.VarPF(&settingFlag{s, flags}, s.Name, "", fmt.Sprintf("%s (default %s)", s.Help, s.DefaultText()))
		if s.Kind() == "switch" {
			v.NoOptDefVal = "true"
		}
	}
	return c
}

// settingFlag keeps what was said: settings.Load judges it together with the
// other sources, so that all faults are reported at once.
type settingFlag struct {
	settings.Setting
	flags map[string][]string
}

func (f *settingFlag) String() string { return "" } // the help text says the default itself
func (f *settingFlag) Type() string   { return f.Kind() }
func (f *settingFlag) Set(value string) error {
	f.flags[f.Name] = append(f.flags[f.Name], value)
	return nil
}

func serve(ctx context.Context, config server.Config, log *logging.Logger, stdout io.Writer) error {
	s, err := server.New(config)
	if err != nil {
		return withHolder(err)
	}
	welcome(stdout, s.Addrs())
	if log.Format == logging.JSON { // on a terminal the welcome says it
		log.Info("serving", "addresses", written(s.Addrs()), "admin", config.Admin, "version", version)
	}

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
