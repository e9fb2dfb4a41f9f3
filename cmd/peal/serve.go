package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"peal/server"
	"peal/server/logging"
	"peal/server/settings"
	"peal/server/upgrade"
)

func newServe() *cobra.Command {
	var file string
	var printConfig, check bool
	flags := map[string][]string{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Starts the server. No setting is required. Flags take precedence over the
environment (--drain is PEAL_DRAIN there), the environment over the file that
--config names (there the line "drain: 10s"), and the file over the defaults.
Rules for single channels are possible in the file only, under "channels:", keys of
backends under "keys:" or in a file of their own; see docs/configuration.md.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			next := newUpgrader()
			link, err := upgrade.Inherited()
			if err != nil {
				return err
			}
			if link != nil {
				defer link.Close()
				defer func() { // also where the server is not yet known
					if err != nil {
						link.Refuse(err)
					}
				}()
			}
			input := settings.Input{Flags: flags, Environment: os.Environ(), File: file}
			load := func() (*settings.Settings, error) { return settings.Load(input) }
			s, err := load()
			switch {
			case err != nil:
				return usageError{err}
			case printConfig:
				_, err := io.WriteString(c.OutOrStdout(), s.YAML())
				return err
			case check:
				_, err := fmt.Fprintln(c.OutOrStdout(), "The configuration is valid.")
				return err
			}
			ignoreBrokenPipes()
			words := s.Config.WithDefaults()
			log := logging.Open(c.ErrOrStderr(), words.LogFormat, words.LogLevel)
			defer log.Close()
			stdout, closeStdout := logging.Queue(c.OutOrStdout())
			defer closeStdout()
			s.Config.Log, s.Config.LostLines, s.Config.Version = log.Logger, log.Lost, version
			service, err := newService()
			if err == nil {
				err = service.addSockets(&s.Config)
			}
			if err != nil {
				return err
			}
			service.log = log.Logger
			h := &hangup{load: load, file: strings.Join(s.Files, ", "), terminals: standardTerminals(), current: s, log: log, service: service}
			next.log, next.service, next.hangup = log, service, h
			s.Config.Reread, s.Config.Succeed = h.reload, next.run
			return serve(c.Context(), s.Config, h, next, link, stdout)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&file, "config", "", "YAML file with settings (also "+settings.ConfigVariable+")")
	f.BoolVar(&printConfig, "print-config", false, "print the effective settings as YAML with the source of each, and exit")
	f.BoolVar(&check, "check", false, "validate the configuration and exit")
	for _, s := range settings.All() {
		v := f.VarPF(&settingFlag{s, flags}, s.Name, "", fmt.Sprintf("%s (default %s)", s.Help, s.DefaultText()))
		if s.Kind() == "switch" {
			v.NoOptDefVal = "true"
		}
	}
	return c
}

// settingFlag stores the values of a flag: settings.Load validates them together
// with the other sources, so that all faults are reported at once.
type settingFlag struct {
	settings.Setting
	flags map[string][]string
}

func (f *settingFlag) String() string { return "" } // the help text contains the default
func (f *settingFlag) Type() string   { return f.Kind() }
func (f *settingFlag) Set(value string) error {
	f.flags[f.Name] = append(f.flags[f.Name], value)
	return nil
}

func serve(ctx context.Context, config server.Config, h *hangup, next *upgrader, link *upgrade.Link, stdout io.Writer) error {
	// Before the start, which may read a long log: a signal that arrives meanwhile waits.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2)
	if !signal.Ignored(unix.SIGHUP) { // nohup: a closed terminal must not end the server
		signal.Notify(signals, unix.SIGHUP)
	}
	defer signal.Stop(signals)

	s, err := start(ctx, config, link)
	if err != nil {
		return withReason(err)
	}
	h.server, next.server = s, s
	if last := s.UpgradeStats().Last; last != nil {
		h.log.Info("took over from another process", "process_before", last.ProcessBefore, "version_before", last.VersionBefore, "version", version,
			"connections", last.Connections, "stayed", last.Stayed, "pause_ms", milliseconds(last.Pause))
	}
	// The start has compressed the page and read a log: its garbage would count as
	// resident memory until the first connections take its place.
	if s.UpgradeStats().Last == nil {
		debug.FreeOSMemory()
	} else { // clients have waited, and come first
		time.AfterFunc(5*time.Second, debug.FreeOSMemory)
	}
	welcome(stdout, s.Endpoints(), s.Limits(), config.Auth == server.AuthToken)
	if h.log.Format == logging.JSON { // on a terminal the welcome has it
		limits := s.Limits()
		h.log.Info("serving", "addresses", written(s.Addrs()), "admin", written(s.AdminAddrs()), "version", version,
			"page", page(s.Endpoints()), "loops", limits.Loops, "max_connections", limits.Connections, "open_files_limit", limits.Descriptors)
	}

	ctx, end := context.WithCancel(ctx)
	defer end()
	over, finish := context.WithCancel(context.WithoutCancel(ctx))
	var reports sync.WaitGroup
	defer reports.Wait()
	defer finish()
	h.service.status = "Serving " + strings.Join(written(s.Addrs()), ", ")
	reports.Go(func() {
		if link != nil {
			link.AwaitEnd(over) // systemd listens to the old process until then
		}
		stuck := s.StuckLoops()
		h.service.run(over, func(ctx context.Context) []int {
			if s.HandedOver() {
				return nil // it is the new process's business
			}
			return stuck(ctx)
		})
	})
	reports.Go(func() { h.service.drain(ctx, over, s.HandedOver, s.DrainLimit) })
	defer next.wait()

	ended := make(chan struct{})
	defer func() { <-ended }()
	go func() { // ends with ctx
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case one := <-signals:
				switch one {
				case unix.SIGUSR1:
					printStats(ctx, s, stdout)
				case unix.SIGUSR2:
					go next.run(ctx, upgrade.Order{}) // it is logged; serve waits for it
				default:
					if h.handle(ctx) {
						end()
					}
				}
			}
		}
	}()
	err = s.Run(ctx)
	end()
	return err
}

// start builds the server, or goes on for the one at the other end of the link.
func start(ctx context.Context, config server.Config, link *upgrade.Link) (*server.Server, error) {
	if link == nil {
		return server.New(config)
	}
	return server.TakeOver(ctx, config, link)
}

// printStats prints the state of the server on one line.
func printStats(ctx context.Context, s *server.Server, stdout io.Writer) {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if st, err := s.Stats(soon); err == nil {
		fmt.Fprintln(stdout, st.JSON())
	}
}
