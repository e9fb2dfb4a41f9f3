package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/scripts/leak"
	"peal/server"
)

// held is what a process holds: descriptors and goroutines.
type held struct{ descriptors, goroutines int }

func holds() held { return held{leak.Descriptors(), runtime.NumGoroutine()} }

// settles waits until no more is held than before: goroutines that were told to end
// take a moment.
func settles(t *testing.T, what string, before held) {
	t.Helper()
	var now held
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if now = holds(); now.descriptors <= before.descriptors && now.goroutines <= before.goroutines {
			return
		}
	}
	t.Errorf("%s: %+v are held, before it %+v", what, now, before)
}

// everything is a configuration with all that a server can hold.
func everything(t *testing.T) server.Config {
	dir := t.TempDir()
	return server.Config{
		Listen:    []string{"127.0.0.1:0", "unix:" + filepath.Join(dir, "socket")},
		Admin:     "127.0.0.1:0",
		Engine:    "file:" + filepath.Join(dir, "log"),
		AccessLog: filepath.Join(dir, "access.log"),
		Log:       slog.New(slog.DiscardHandler),
	}
}

// TestNewThatFailsHoldsNothing has each step of New fail in turn.
func TestNewThatFailsHoldsNothing(t *testing.T) {
	c := everything(t)
	failure := errors.New("planted")
	var steps []string
	if s, err := server.Build(c, func(step string) error { steps = append(steps, step); return nil }); err != nil {
		t.Fatal(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(steps) < 7 || !slices.Contains(steps, "loops") {
		t.Fatalf("steps %q", steps)
	}
	before := holds()
	for _, fails := range steps {
		s, err := server.Build(c, func(step string) error {
			if step == fails {
				return failure
			}
			return nil
		})
		if s != nil || !errors.Is(err, failure) {
			t.Errorf("%s: %v", fails, err)
		}
		settles(t, fails, before)
	}
	// The directory, the socket and the log are free again.
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	settles(t, "Close", before)
}

// What can fail on a real machine holds nothing either.
func TestNewThatIsRefusedHoldsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := holds()
	for what, change := range map[string]func(c *server.Config){
		"listen on":       func(c *server.Config) { c.Listen = append(c.Listen, taken.Addr().String()) },
		"admin: listen":   func(c *server.Config) { c.Admin = taken.Addr().String() },
		"access log":      func(c *server.Config) { c.AccessLog = filepath.Join(t.TempDir(), "no", "such", "directory") },
		"/dev/null/log":   func(c *server.Config) { c.Engine = "file:/dev/null/log" },
		"no-such-group":   func(c *server.Config) { c.SocketGroup = "no-such-group" },
		"inherit descrip": func(c *server.Config) { c.Inherit = []int{12345} },
	} {
		c := everything(t)
		change(&c)
		s, err := server.New(c)
		if s != nil || err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		settles(t, what, before)
	}
}

func TestRunHoldsNothingAtItsEnd(t *testing.T) {
	before := holds()
	s, err := server.New(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if _, err := s.LoopStats(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	settles(t, "Run", before)
}
