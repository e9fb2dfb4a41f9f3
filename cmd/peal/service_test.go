package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/systemd"
)

// notified starts a server that finds the variables of systemd, and returns a function
// for the next report, and one that ends the server.
func notified(t *testing.T, args ...string) (next func() string, end func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { // ends with ctx
		ended <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--loops", "1"}, args...), nil, io.Discard, io.Discard)
	}()
	next = func() string {
		t.Helper()
		b := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	t.Cleanup(func() { cancel(); c.Close() })
	return next, func() {
		t.Helper()
		cancel()
		for !strings.HasPrefix(next(), "STOPPING=1\nSTATUS=Draining for at most ") {
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestServeReportsItsStateToSystemd(t *testing.T) {
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "40000")
	next, end := notified(t, "--drain", "1s")
	if got := next(); !strings.HasPrefix(got, "READY=1\nSTATUS=Serving 127.0.0.1:") {
		t.Errorf("the first report is %q", got)
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("%q, want the watchdog", got)
		}
	}
	end()
}

func TestReloadsAreReportedToSystemd(t *testing.T) {
	dir := t.TempDir()
	config, socket := filepath.Join(dir, "peal.yaml"), filepath.Join(dir, "admin.sock")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("drain: 1s\n")
	next, end := notified(t, "--config", config, "--admin", "unix:"+socket)
	if got := next(); !strings.HasPrefix(got, "READY=1\n") {
		t.Fatalf("the first report is %q", got)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for _, x := range []struct{ text, after string }{{"drain: 2s\n", ""}, {"drain: never\n", "; the last reload was refused: see the log"}, {"drain: 1s\n", ""}} {
		write(x.text)
		answer, err := client.Post("http://localhost/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("%s: %q", x.text, got)
		}
		if got := next(); !strings.HasPrefix(got, "READY=1\nSTATUS=Serving 127.0.0.1:") || strings.Contains(got, "refused") != (x.after != "") || !strings.HasSuffix(got, x.after) {
			t.Errorf("%s: %q", x.text, got)
		}
	}
	end()
}

func TestSocketsOfSystemdByTheirNames(t *testing.T) {
	s := &service{sockets: []systemd.Socket{{FD: 3, Name: "peal.socket"}, {FD: 4, Name: "admin"}, {FD: 5, Name: "listen"}, {FD: 6}, {FD: 7, Name: "plain"}}}
	var c server.Config
	if err := s.addSockets(&c); err != nil || len(c.Inherit) != 3 || len(c.InheritAdmin) != 1 || c.InheritAdmin[0] != 4 || len(c.InheritPlain) != 1 || c.InheritPlain[0] != 7 {
		t.Errorf("%v, %v, %v", c.Inherit, c.InheritAdmin, err)
	}
	s.sockets = []systemd.Socket{{FD: 3, Name: "metrics"}}
	if err := s.addSockets(&c); err == nil || !strings.Contains(err.Error(), `"metrics"`) || !strings.Contains(err.Error(), "FileDescriptorName=") {
		t.Errorf("a name that has no meaning: %v", err)
	}
}
