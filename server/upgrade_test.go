package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/upgrade"
)

// life is one process of a server, as far as a test has processes.
type life struct {
	*server.Server
	ended chan error
	end   context.CancelFunc
}

func live(t *testing.T, s *server.Server) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{s, make(chan error, 1), cancel}
	go func() { l.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-l.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the server does not end")
		}
	})
	return l
}

// patient are the limits of an upgrade that has all the time that it needs.
var patient = upgrade.Limits{Ready: time.Minute, Frozen: time.Minute, Begun: time.Minute}

// errDead has the process of the new server end.
var errDead = errors.New("the process ends")

// offer has another server, with configuration c, try to go on for l. at is called at each step of the new server,
// which fails there if it returns an error; nil for none.
func (l *life) offer(t *testing.T, c server.Config, at func(step string) error) (o upgrade.Outcome, next *server.Server, oldErr, newErr error) {
	t.Helper()
	old, end, err := upgrade.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	link, err := upgrade.NewLink(end)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		defer link.Close()
		var step func(string) error
		if at != nil {
			step = func(name string) error {
				err := at(name)
				if errors.Is(err, errDead) {
					link.Close() // nobody reads why
				}
				return err
			}
		}
		next, newErr = server.TakeOverAt(context.Background(), c, link, step)
	}()
	o, oldErr = l.Upgrade(t.Context(), old, patient)
	old.Close()
	<-taken
	return o, next, oldErr, newErr
}

// handOver has another server, with configuration c, go on for l.
func (l *life) handOver(t *testing.T, c server.Config) *life {
	t.Helper()
	_, next := l.pass(t, c)
	l.mustEnd(t)
	return next
}

// pass is handOver that does not wait for the end of l.
func (l *life) pass(t *testing.T, c server.Config) (upgrade.Outcome, *life) {
	t.Helper()
	o, next, oldErr, newErr := l.offer(t, c, nil)
	if oldErr != nil || newErr != nil || !o.Committed {
		t.Fatalf("%+v, old: %v, new: %v", o, oldErr, newErr)
	}
	return o, live(t, next)
}

func (l *life) mustEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-l.ended:
		l.ended <- err
	case <-time.After(time.Minute):
		t.Fatal("the old server does not end")
	}
}

// follower is an event stream that is read line by line.
type follower struct {
	net.Conn
	lines *bufio.Scanner
}

func follow(t *testing.T, addr, query string) *follower {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /sse?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", query)
	f := &follower{c, bufio.NewScanner(c)}
	if opening := f.next(t); !strings.Contains(opening, "cursor") {
		t.Fatalf("the stream begins with %q", opening)
	}
	return f
}

// next is the data of the next event.
func (s *follower) next(t *testing.T) string {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for s.lines.Scan() {
		if data, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			return data
		}
	}
	t.Fatalf("the stream has ended: %v", s.lines.Err())
	return ""
}

func publish(t *testing.T, addr, channel, text string) {
	t.Helper()
	r, err := http.Post("http://"+addr+"/publish?channel="+channel, "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusOK {
		t.Fatalf("publish: %s: %s", r.Status, b)
	}
}

// TestUpgrade: a stream stays open through several processes, and receives each message once.
func TestUpgrade(t *testing.T) {
	for _, engine := range []string{"memory", "file:" + t.TempDir()} {
		t.Run(engine[:4], func(t *testing.T) {
			c := server.Config{Listen: []string{"127.0.0.1:0"}, Engine: engine, Log: slog.New(slog.DiscardHandler), Version: "test"}
			s, err := server.New(c)
			if err != nil {
				t.Fatal(err)
			}
			l := live(t, s)
			addr := l.Addrs()[0].String()
			c.Listen = []string{addr}
			reader := follow(t, addr, "channel=news&format=raw")
			publish(t, addr, "news", "before")
			const some = 40 // channels, in many shards
			for i := range some {
				publish(t, addr, fmt.Sprint("kept-", i), "kept")
			}
			if got := reader.next(t); got != "before" {
				t.Fatalf("received %q", got)
			}
			for i := range 3 {
				l = l.handOver(t, c)
				text := fmt.Sprint("after ", i)
				publish(t, addr, "news", text)
				if got := reader.next(t); got != text {
					t.Fatalf("received %q, want %q", got, text)
				}
			}
			for i := range some {
				if got := follow(t, addr, fmt.Sprint("channel=kept-", i, "&cursor=earliest&format=raw")).next(t); got != "kept" {
					t.Errorf("channel %d: received %q from the history", i, got)
				}
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}
