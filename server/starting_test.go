package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/log"
	"peal/server/log/fake"
)

// slowLog restores a batch for each value of step, and all when it is closed.
type slowLog struct {
	*fake.Node
	step <-chan struct{}
}

func (l *slowLog) Start(tail log.Tail, restore func([]*log.Entry)) error {
	return l.Node.Start(tail, func(batch []*log.Entry) {
		<-l.step
		restore(batch)
	})
}

// While the log is read, the admin listener says how far, and no client can connect.
func TestAStartSaysHowFarItIs(t *testing.T) {
	const batches, each = 10, 3
	store := fake.New(time.Now)
	other := store.Open()
	if err := other.Start(log.Tails{}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	for range batches {
		batch := make([]*log.Entry, each)
		for i := range batch {
			batch[i] = &log.Entry{Channel: "a", Data: []byte("x")}
		}
		if err := other.Append(batch, nil); err != nil {
			t.Fatal(err)
		}
	}

	dir := t.TempDir()
	clients, operator := filepath.Join(dir, "clients"), filepath.Join(dir, "operator")
	step, opening, open := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c := server.WithLog(server.Config{Listen: []string{"unix:" + clients}, Admin: "unix:" + operator, Log: slog.New(slog.DiscardHandler)}, func() (log.Engine, error) {
		close(opening)
		<-open
		return &slowLog{store.Open(), step}, nil
	})
	type result struct {
		s   *server.Server
		err error
	}
	made := make(chan result, 1)
	go func() {
		s, err := server.New(c)
		made <- result{s, err}
	}()

	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", operator)
	}}
	ask := func(path string) (status int, body string) {
		t.Helper()
		answer, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	want := func(path string, status int, text string) {
		t.Helper()
		var got int
		var body string
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if got, body = ask(path); got == status && strings.Contains(body, text) {
				return
			}
		}
		t.Fatalf("%s: %d %.300q, want %d %q", path, got, body, status, text)
	}
	<-opening
	want("/readyz", 503, "starting: opening the log\n")
	close(open)
	want("/readyz", 503, "starting: reading the log (0 of about 30 entries read)\n")
	step <- struct{}{}
	want("/readyz", 503, "starting: reading the log (3 of about 30 entries read)\n")
	step <- struct{}{}
	want("/readyz", 503, "starting: reading the log (6 of about 30 entries read)\n")
	want("/healthz", 200, "ok, but no client can connect yet")
	want("/cluster", 503, "starting: reading the log")
	want("/metrics", 200, "peal_start_read_entries 6\n")
	if _, err := os.Stat(clients); err == nil {
		t.Error("clients can connect before the log is read")
	}
	close(step)
	r := <-made
	if r.err != nil {
		t.Fatal(r.err)
	}
	if status, body := ask("/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("started: %d %q", status, body)
	}
	if got := r.s.StartProgress(); got.Read != 30 || got.Known != 30 {
		t.Errorf("started: %+v", got)
	}
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", operator); err == nil {
		t.Error("the admin listener is open after Close")
	}
}
