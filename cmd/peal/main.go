// Command peal is the push server and its tools.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"peal/loadtest"
	"peal/loadtest/child"
)

func main() {
	child.Play(loadtest.Worker) // a process of peal load
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		die(<-signals) // a second one does not wait for the drain
	}()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peal:", err)
		os.Exit(exitCode(err))
	}
}

// die ends the process by the signal, as if it had never been caught.
func die(s os.Signal) {
	signal.Reset()
	_ = unix.Kill(os.Getpid(), s.(unix.Signal)) // of oneself: cannot fail
}

// run is the whole program: a test calls it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := newRoot(stdout, stderr)
	root.SetIn(stdin)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
