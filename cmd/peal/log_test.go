package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// served runs a server on the log directory, has it do something, and ends it well.
func served(t *testing.T, dir string, do func(url string)) {
	t.Helper()
	t.Run("served", func(t *testing.T) {
		do(serving(t, "--log", "file:"+dir, "--log-segment-bytes", "64KiB"))
	})
}

func TestLogInspectAndVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	line := strings.Repeat("x", 30_000)
	served(t, dir, func(url string) {
		ok(t, strings.Repeat(line+"\n", 5), "pub", "--url", url, "a", "-")
		if code, _, message := called(t, "log", "verify", dir); code != 1 || !strings.Contains(message, "a server uses "+dir) {
			t.Errorf("verify beside a server: %d %s", code, message)
		}
		if code, out, message := called(t, "log", "inspect", dir); code != 0 || !strings.Contains(out, "in use by a server") {
			t.Errorf("inspect beside a server: %d %s %s", code, out, message)
		}
		code, _, message := called(t, "serve", "--listen", "127.0.0.1:0", "--loops", "1", "--log", "file:"+dir)
		if code != 1 || !strings.Contains(message, "another process uses it") {
			t.Errorf("a second server: %d %s", code, message)
		}
	})
	if code, out, message := called(t, "log", "verify", dir); code != 0 || !strings.HasPrefix(out, "ok: 3 segments, 5 messages, ") {
		t.Errorf("verify: %d %s %s", code, out, message)
	}
	for _, c := range []string{"verify", "inspect"} {
		_, plain, _ := called(t, "log", c, dir)
		if code, out, message := called(t, "log", c, "file:"+dir); code != 0 || out != plain || out == "" {
			t.Errorf("%s file:DIR: %d %q %s, and of DIR %q", c, code, out, message, plain)
		}
	}
	code, out, _ := called(t, "log", "inspect", dir)
	for _, want := range []string{"FILE", "00000000000000000001.log", "00000000000000000005.log", "closed cleanly"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("inspect: %d, lacks %q: %s", code, want, out)
		}
	}

	first := filepath.Join(dir, "00000000000000000001.log")
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b[40_000] ^= 1 // in the second record
	if err := os.WriteFile(first, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, message := called(t, "log", "verify", dir)
	if code != 1 || !strings.HasPrefix(out, first+": byte 30") || !strings.Contains(message, "truncate -s 30") {
		t.Errorf("verify of a damaged log: %d %s %s", code, out, message)
	}
	err = run(context.Background(), []string{"serve", "--listen", "127.0.0.1:0", "--loops", "1", "--log", "file:" + dir}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), first+" is damaged at byte 30") || !strings.Contains(err.Error(), "peal log verify "+dir) {
		t.Errorf("serve on a damaged log: %v", err)
	}

	if code, _, message := called(t, "log", "verify", t.TempDir()); code != 1 || !strings.Contains(message, "there is no log") {
		t.Errorf("verify of nothing: %d %s", code, message)
	}
	if code, _, _ := called(t, "log", "verify"); code != 2 {
		t.Errorf("verify without a directory: exit code %d, want 2", code)
	}
}

// What the advice tells an operator to do works.
func TestTheAdviceForADamagedLogWorks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	line := strings.Repeat("x", 30_000)
	served(t, dir, func(url string) { ok(t, strings.Repeat(line+"\n", 5), "pub", "--url", url, "a", "-") })
	first := filepath.Join(dir, "00000000000000000001.log")
	if err := os.Truncate(first, 40_000); err != nil { // in the second record
		t.Fatal(err)
	}
	_, out, _ := called(t, "log", "verify", dir)
	var offset int64
	if _, err := fmt.Sscanf(strings.TrimPrefix(out, first), ": byte %d:", &offset); err != nil {
		t.Fatalf("verify says %q: %v", out, err)
	}
	if err := os.Truncate(first, offset); err != nil {
		t.Fatal(err)
	}
	for _, later := range []string{"00000000000000000003.log", "00000000000000000005.log"} {
		if err := os.Remove(filepath.Join(dir, later)); err != nil {
			t.Fatal(err)
		}
	}
	served(t, dir, func(url string) {
		if got := ok(t, "", "sub", "--url", url, "--cursor", "earliest", "--count", "1", "a"); got != line+"\n" {
			t.Errorf("%d bytes, want the first message", len(got))
		}
	})
}

func TestLogSettingsAreJudged(t *testing.T) {
	for _, bad := range [][]string{
		{"--log", "disk"}, {"--log", "file:"}, {"--fsync", "sometimes"},
		{"--log-bytes", "1MiB"}, {"--log", "file:x", "--message-bytes", "64MiB", "--input-bytes", "64MiB"},
	} {
		if code, _, message := called(t, append([]string{"serve", "--check"}, bad...)...); code != 2 || !strings.Contains(message, "must be") && !strings.Contains(message, "as in") && !strings.Contains(message, "at most") {
			t.Errorf("%q: %d %s", bad, code, message)
		}
	}
}
