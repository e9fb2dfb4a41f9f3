// Command peal-gate says whether a change makes the server worse: it builds two
// commits, measures them in turns and judges. See docs/gate.md.
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
	// Worktrees are removed on every end but SIGKILL: so signals end the context
	// and nothing else.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	p := program{macros: macros}
	if err := p.run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peal-gate:", err)
		os.Exit(exitCode(err))
	}
}

// program is what a test replaces.
type program struct {
	macros func() []bench.Macro // of Peal
}

func macros() []bench.Macro {
	c := bench.GateSizes()
	return c.Macros()
}

// run is the whole program: a test calls it.
func (p *program) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := p.command(stdout, stderr)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
