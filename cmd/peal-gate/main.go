// Command peal-gate decides whether a change makes the server worse: it builds two
// commits, measures them alternately and judges. See docs/gate.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/child"
)

func main() {
	child.Play(loadtest.Worker)
	// The temporary folder is removed on every end except SIGKILL: so signals end the
	// context and nothing else.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	sizes := bench.GateSizes()
	if err := run(ctx, sizes.Macros(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peal-gate:", err)
		os.Exit(exitCode(err))
	}
}

// run is the whole program: a test calls it, with benchmarks of its own.
func run(ctx context.Context, macros []bench.Macro, args []string, stdout, stderr io.Writer) error {
	root := command(macros, stdout, stderr)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
