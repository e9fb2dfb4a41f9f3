package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"peal/server"
	"peal/server/logging"
	"peal/server/upgrade"
)

// upgradeLimits are how long an upgrade may take. What is retained may be a long log.
var upgradeLimits = upgrade.Limits{Ready: 5 * time.Minute, Frozen: 5 * time.Second, Begun: 10 * time.Second}

// upgrader starts the program that is at the place of this one now, and hands the server over to it.
type upgrader struct {
	// Fixed at the start, before anything takes variables away.
	program     string
	environment []string

	server  *server.Server
	log     *logging.Logger
	service *service

	mu sync.Mutex // held during an upgrade
}

// newUpgrader notes how this process was started.
func newUpgrader() *upgrader {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	own := func(variable string) bool { // it is about this process, and not the next one
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "LISTEN_") || name == "WATCHDOG_PID" || name == upgrade.Variable
	}
	return &upgrader{program: program, environment: slices.DeleteFunc(os.Environ(), own)}
}

// errFirstProcess is about containers: all their processes end with the first one.
var errFirstProcess = errors.New("this server is process 1, and its container ends with it: start it under an init (docker run --init), or replace the container")

// run upgrades the server, and returns what was done, in words.
func (u *upgrader) run(ctx context.Context) (done string, err error) {
	if !u.mu.TryLock() {
		return "", errors.New("an upgrade is under way")
	}
	defer u.mu.Unlock()
	defer func() {
		if err != nil {
			u.log.Error("not upgraded: this process goes on", "error", err)
			err = fmt.Errorf("not upgraded, the server goes on as it was: %w", err)
		}
	}()
	if os.Getpid() == 1 {
		return "", errFirstProcess
	}
	link, end, err := upgrade.Pair()
	if err != nil {
		return "", err
	}
	defer link.Close()
	next := exec.Command(u.program, os.Args[1:]...)
	next.Env = append(slices.Clone(u.environment), upgrade.Pass(next, end))
	next.Stdin, next.Stdout, next.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = next.Start()
	end.Close()
	if err != nil {
		return "", err
	}
	u.log.Info("upgrading: the new process has started", "program", u.program, "process", next.Process.Pid)
	o, err := u.server.Upgrade(ctx, link, upgradeLimits)
	if !o.Committed {
		link.Close()
		_ = next.Process.Kill() // it may have ended
		_ = next.Wait()
		return "", err
	}
	u.service.tell(u.service.Main(next.Process.Pid))
	u.log.Info("upgraded: the new process serves, this one ends", "process", next.Process.Pid, "connections", o.Connections, "frozen", o.Frozen)
	return fmt.Sprintf("upgraded: process %d serves; %d connections were handed over, and waited for %v\n", next.Process.Pid, o.Connections, o.Frozen.Round(100*time.Microsecond)), nil
}

// wait returns when no upgrade is under way.
func (u *upgrader) wait() {
	u.mu.Lock()
	defer u.mu.Unlock()
}

func newUpgrade() *cobra.Command {
	var a *adminListener
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a running server go on as the program that is installed now",
		Long: `Asks the admin listener of a running server (peal serve --admin) to start the program at
its own path again, with the same arguments and its configuration as it is now, and to
hand its log and its connections over. Clients stay connected and notice nothing, but for
those over TLS, which come back by themselves. If the new program cannot go on, the
running server does, the reason is printed, and the exit code is 1. The signal SIGUSR2 does the
same, and writes the result to the log.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.print(c.Context(), http.MethodPost, c.OutOrStdout())
		},
	}
	a = adminFlags(c.Flags(), "upgrade", "/upgrade", false, 6*time.Minute, "how long the response may take: the new process reads the log")
	return c
}
