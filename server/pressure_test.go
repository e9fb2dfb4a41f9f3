package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/server"
	"peal/server/memory"
)

// Beyond the marks of memory-limit the server refuses new connections, then publications. What is
// open goes on, and all of it ends when memory is there again.
func TestLevelsOfMemory(t *testing.T) {
	s, url := run(t, server.Config{MemoryLimit: -1})
	open := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute}
	defer open.CloseIdleConnections()
	publish := func(c *http.Client, want int, code string) {
		t.Helper()
		response, err := c.Post(url+"/publish?channel=a", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, _ := io.ReadAll(response.Body) // its status is enough
		if response.StatusCode != want || !strings.Contains(string(b), code) {
			t.Errorf("%d %s, want %d with %q", response.StatusCode, b, want, code)
		}
		if want == 503 && response.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	publish(open, 200, "cursor")
	s.MemoryIs(memory.High)
	publish(&client, 503, "memory_full")
	publish(open, 200, "cursor")
	if s.MemoryLevel() != memory.High {
		t.Errorf("level %d", s.MemoryLevel())
	}
	s.MemoryIs(memory.Over)
	publish(open, 503, "memory_full")
	publish(&client, 503, "memory_full")
	s.MemoryIs(memory.High)
	publish(open, 200, "cursor")
	s.MemoryIs(memory.Normal)
	publish(&client, 200, "cursor")
}

// Garbage that nobody collects does not keep the level up.
func TestMemoryIsGivenBack(t *testing.T) {
	s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, MemoryLimit: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var collected atomic.Bool
	garbage := new([1 << 20]byte)
	runtime.AddCleanup(garbage, func(c *atomic.Bool) { c.Store(true) }, &collected)
	ctx, cancel := context.WithCancel(context.Background())
	looked := 0
	s.WatchMemory(ctx, func() (int, error) {
		looked++
		if looked > 1 && (collected.Load() || looked == 20) {
			cancel()
			return 0, nil
		}
		return 1 << 40, nil
	})
	if !collected.Load() || s.MemoryLevel() != memory.Normal {
		t.Errorf("level %d after %d looks, collected: %v", s.MemoryLevel(), looked, collected.Load())
	}
}

// The watch takes the levels from what the process has, and sets the limit of the runtime meanwhile.
func TestMemoryIsWatched(t *testing.T) {
	s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, MemoryLimit: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := debug.SetMemoryLimit(-1)
	ctx, cancel := context.WithCancel(context.Background())
	looked := 0
	s.WatchMemory(ctx, func() (int, error) {
		looked++
		if looked == 2 {
			cancel()
			return 0, errors.New("the last look")
		}
		if now := debug.SetMemoryLimit(-1); now >= before || now > 1<<40/20*17 {
			t.Errorf("the runtime keeps to %d", now)
		}
		return 1 << 40 / 10 * 9, nil
	})
	if s.MemoryLevel() != memory.High {
		t.Errorf("level %d", s.MemoryLevel())
	}
	if now := debug.SetMemoryLimit(-1); now != before {
		t.Errorf("the runtime keeps to %d afterwards, before to %d", now, before)
	}
}
