package endtoend_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/child"
)

// activated starts the program as systemd does, with these listeners and names, and
// returns when it serves.
func activated(t *testing.T, listeners []*os.File, names string, flags ...string) *child.Process {
	t.Helper()
	const script = `LISTEN_PID=$$ LISTEN_FDS="$1" LISTEN_FDNAMES="$2"; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; shift 2; exec "$@"`
	args := append([]string{"-c", script, "sh", fmt.Sprint(len(listeners)), names, pealBinary, "serve"}, flags...)
	cmd := exec.Command("sh", args...)
	cmd.ExtraFiles = listeners
	return serving(t, cmd)
}

// serving starts a server and returns when it serves.
func serving(t *testing.T, cmd *exec.Cmd) *child.Process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = w, stderr
	process, err := child.Start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = process.Stop(syscall.SIGKILL, 0) // it may have ended
		r.Close()
	})
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Peal listens on ") {
	}
	if lines.Text() == "" {
		_ = process.Exit()
		t.Fatalf("it does not serve: %s", stderr.String())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the process
	return process
}

// TestARestartRefusesNoConnection: the listener outlives the servers, so clients that
// connect at any moment are served, by the old one or by the new one.
func TestARestartRefusesNoConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // as systemd, which has it all the time
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start := func() *child.Process {
		t.Helper()
		return activated(t, []*os.File{f}, "peal.socket", "--listen", ln.Addr().String(), "--drain", "5s") // with the address of the file: no conflict
	}
	process := start()

	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	var served atomic.Int64
	var clients sync.WaitGroup
	transport := &http.Transport{DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: patience}
	over := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				answer, err := client.Post("http://"+ln.Addr().String()+"/publish", "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != 200 {
					t.Errorf("published with %s", answer.Status)
				}
				served.Add(1)
			}
		})
	}
	await := func(n int64) {
		t.Helper()
		for until := served.Load() + n; served.Load() < until && ctx.Err() == nil && !t.Failed(); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	await(50)
	for range 2 {
		if killed, err := process.Stop(syscall.SIGTERM, patience); killed || err != nil {
			t.Errorf("the server ends with %v, killed: %v", err, killed)
		}
		process = start()
		await(50)
	}
	close(over)
	clients.Wait()
	t.Logf("%d connections served, in three lives of the server", served.Load())
}

// TestSocketsOfSystemdServeByTheirNames: the program of systemd itself passes them.
func TestSocketsOfSystemdServeByTheirNames(t *testing.T) {
	activate := tool(t, "systemd-socket-activate")
	dir := t.TempDir()
	clients, operator := filepath.Join(dir, "clients"), filepath.Join(dir, "operator")
	cmd := exec.Command(activate, "-l", clients, "-l", operator, "--fdname=listen:admin", pealBinary, "serve")
	process, err := child.Start(cmd) // it starts the server with the first connection
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = process.Stop(syscall.SIGKILL, 0) }()
	for _, x := range []struct{ socket, path, want string }{{clients, "/poll?timeout=1", `"messages":[]`}, {operator, "/readyz", "ok\n"}} {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for {
				c, err := new(net.Dialer).DialContext(ctx, "unix", x.socket)
				if err == nil || ctx.Err() != nil {
					return c, err
				}
				time.Sleep(5 * time.Millisecond) // not listening yet
			}
		}}
		client := http.Client{Transport: transport, Timeout: patience}
		answer, err := client.Get("http://localhost" + x.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		client.CloseIdleConnections()
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), x.want) {
			t.Errorf("%s: %s %q, %v", x.path, answer.Status, body, err)
		}
	}
	if _, err := process.Stop(syscall.SIGTERM, patience); err != nil {
		t.Errorf("it ends with %v", err)
	}
}
