package loop_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loop"
)

func TestLimitedLinesAreCounted(t *testing.T) {
	due := loop.NewLimited()
	check := func(at time.Duration, wantOut int, want bool) {
		t.Helper()
		if leftOut, ok := due(at); ok != want || leftOut != wantOut {
			t.Errorf("at %v: %d left out, due %v, want %d, %v", at, leftOut, ok, wantOut, want)
		}
	}
	check(0, 0, true)
	check(1, 0, false)
	check(999*time.Millisecond, 0, false)
	check(time.Second, 2, true)
	check(time.Second, 0, false)
	check(time.Hour, 1, true)
	check(2*time.Hour, 0, true)
}

// record is a log in memory.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

func (r *record) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Split(strings.TrimSuffix(r.b.String(), "\n"), "\n")
}

// Clients that are refused again and again must not fill the operator's disk.
func TestRefusedConnectionsDoNotFloodTheLog(t *testing.T) {
	onlyPlain(t)
	r := &record{}
	began := time.Now()
	s := start(t, options{config: loop.Config{Loops: 1, MaxConnections: 1, Log: slog.New(slog.NewTextHandler(r, nil))}})
	s.dial().sse("a now")
	const n = 200
	for range n {
		s.dial().Close()
	}
	s.await("all are refused", func() bool { return s.stats()[0].Refused == n })
	most := int(time.Since(began)/time.Second) + 1
	lines := r.lines()
	if len(lines) > most {
		t.Errorf("%d lines in %v: %q", len(lines), time.Since(began), lines)
	}
	if want := "has reached max-connections"; !strings.Contains(lines[0], want) {
		t.Errorf("the log says %q, want %q", lines[0], want)
	}
	// What the lines say they left out is missing, and nothing else.
	told := 0
	for _, line := range lines {
		var leftOut int
		if _, err := fmt.Sscanf(line[strings.Index(line, "left_out="):], "left_out=%d", &leftOut); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		told += 1 + leftOut
	}
	if told > n {
		t.Errorf("the log tells of %d connections, want at most %d", told, n)
	}
}
