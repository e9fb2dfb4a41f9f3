package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"peal/server/spelling"
)

// usageError is a mistake in the arguments of the program: exit code 2.
type usageError struct{ error }

func exitCode(err error) int {
	var u usageError
	if errors.As(err, &u) {
		return 2
	}
	var l loadError
	if errors.As(err, &l) {
		return l.code
	}
	return 1
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "peal",
		Short:         "Real-time message push: WebSocket, server-sent events and long polling on one port",
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
			var known []string
			c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
			if near := spelling.Nearest(name, known); near != "" {
				return usageError{fmt.Errorf("%w; did you mean --%s? (see: %s --help)", err, near, c.CommandPath())}
			}
		}
		return usageError{fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(newServe(), newPub(), newSub(), newLoad(), newKey(), newToken(), newLog(), newHealth(), newStatus(), newTop(), newConnections(), newTrace(), newWebhooks(), newDoctor(), newReload(), newUpgrade(), newVersion())
	return root
}

// noArgs refuses arguments that are not flags.
func noArgs(c *cobra.Command, args []string) error {
	return usage(c, cobra.NoArgs(c, args))
}

// usage makes a usage error of err, if it is one.
func usage(c *cobra.Command, err error) error {
	if err != nil {
		err = usageError{fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())}
	}
	return err
}

// version is set by the linker: scripts/release.sh and the Dockerfile use
// -ldflags "-X main.version=…", which works for a variable only.
var version = "development"

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Args:  noArgs,
		Run: func(c *cobra.Command, _ []string) {
			commit, modified := "unknown commit", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					switch {
					case s.Key == "vcs.revision":
						commit = s.Value
					case s.Key == "vcs.modified" && s.Value == "true":
						modified = " with changes"
					}
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "peal %s (%s%s, %s)\n", version, commit, modified, runtime.Version())
		},
	}
}
