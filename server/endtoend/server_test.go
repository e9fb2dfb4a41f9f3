package endtoend_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/child"
	"peal/server"
)

// peal is a server to be tested and a client for its plain requests.
type peal struct {
	t      testing.TB
	addr   string // host:port
	url    string // http://host:port
	client *http.Client
	local  net.Addr       // of its connections; nil: any
	server *server.Server // in the test; nil for a process
	config server.Config  // of server
	proof  string         // a token or key for plain requests that have none; "" for none
	trust  *tls.Config    // of connections to a server with TLS; nil: cleartext
	stop   func()         // ends the server and waits for it; may be called again

	process *child.Process // of the real program; nil for a server in the test
	waited  bool           // for process
	stderr  *strings.Builder
}

// start runs a server inside the test on a free port.
func start(t testing.TB) *peal {
	t.Helper()
	return startOn(t, "127.0.0.1:0")
}

func startOn(t testing.TB, listen string) *peal {
	t.Helper()
	return startWith(t, func(c *server.Config) { c.Listen = []string{listen} })
}

// startWith is start with a configuration that set has changed.
func startWith(t testing.TB, set func(*server.Config)) *peal {
	t.Helper()
	config := server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)}
	config.Loop.Loops = min(2, runtime.GOMAXPROCS(0))
	set(&config)
	trust := encrypt(t, &config)
	s, err := server.New(config)
	if err != nil {
		t.Fatalf("start the server: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends at stop
	p := newPeal(t, s.Addrs()[0].String())
	p.trusts(trust)
	p.server, p.config = s, config
	stopped := false
	p.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		p.client.CloseIdleConnections()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	}
	t.Cleanup(p.stop)
	return p
}

func newPeal(t testing.TB, addr string) *peal {
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: patience}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &peal{t: t, addr: addr, url: "http://" + addr, client: &http.Client{Transport: transport, Timeout: patience}}
}

// launch runs the real program with `serve` and these flags.
func launch(t testing.TB, flags ...string) *peal {
	t.Helper()
	return launchProgram(t, pealBinary, nil, flags...)
}

// launchProgram is launch with another build of the program, and more variables.
func launchProgram(t testing.TB, program string, variables []string, flags ...string) *peal {
	t.Helper()
	trust, more := encryptionFlags(t)
	cmd := exec.Command(program, slices.Concat([]string{"serve"}, flags, more)...)
	cmd.Env = append(os.Environ(), variables...)
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	process, err := child.Start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(first), "Peal listens on ")
	if err != nil || !ok {
		_, _ = process.Stop(syscall.SIGKILL, 0) // it may have ended
		stdout.Close()
		t.Fatalf("peal serve says %q (%v), stderr: %s", first, err, stderr.String())
	}
	p := newPeal(t, addr)
	p.trusts(trust)
	p.process, p.stderr = process, stderr
	p.stop = func() {
		if p.waited {
			return
		}
		p.waited = true
		_, _ = process.Stop(syscall.SIGKILL, 0) // it may have ended
		p.complain()
	}
	t.Cleanup(p.stop)
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, lines)
		stdout.Close()
	}()
	return p
}

// signal sends the process a signal.
func (p *peal) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.process.PID, s); err != nil {
		p.t.Fatal(err)
	}
}

// exitCode waits until the process ends and returns its exit code.
func (p *peal) exitCode() int {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { _, _ = p.process.Stop(syscall.SIGKILL, 0) })
	defer timer.Stop()
	err := p.process.Exit()
	p.waited = true
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Errorf("wait for peal: %v", err)
	}
	p.complain()
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// complain hands on what must never be on the stderr of the ended process;
// races are seen where GOFLAGS=-race had the program built so.
func (p *peal) complain() {
	p.t.Helper()
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", `"level":"ERROR"`} {
		if said := p.stderr.String(); strings.Contains(said, bad) {
			p.t.Errorf("peal's stderr has %q: %.4000s", bad, said)
			return
		}
	}
}
