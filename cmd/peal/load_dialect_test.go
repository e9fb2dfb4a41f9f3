package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/loadtest/liar"
)

// TestLoadReportsItsDialect: the report says how a server was spoken to, by flags over a
// file, and has no secret.
func TestLoadReportsItsDialect(t *testing.T) {
	l := liar.Start(t, liar.Truth)
	file := filepath.Join(t.TempDir(), "chat.yaml")
	if err := os.WriteFile(file, []byte("ping: [a=b]\nreject: /^no/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"fanout", "--target", "ws://" + l.Addr + "/?user={i}", "--publish", "ws://" + l.Addr + "/pub", "--connections", "3", "--rate", "100",
		"--duration", "200ms", "--idle", "0", "--dialect", file, "--ping", "x={token}", "--token", "s3cret", "--header", "X-Key: s3cret", "--publish-header", "X-Key: s3cret",
		"--publish-frame", "{message}"}, anyMachine...)
	code, r, said := loadTested(t, args...)
	if code != 0 || r == nil || len(r.Settings.Dialects) != 1 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	d := r.Settings.Dialects[0]
	if d.Name != "chat" || d.Reject != "/^no/" || len(d.Ping) != 1 || d.Ping[0] != "x={token}" || d.PublishFrame != "{message}" {
		t.Errorf("%+v", d)
	}
	if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), "s3cret") || strings.Contains(said, "s3cret") {
		t.Errorf("%v; a secret in %s\n%s", err, text, said)
	}
	if code, _, said := loadTested(t, append(args, "--extract", "data")...); code != 2 || !strings.Contains(said, "JSON path") {
		t.Errorf("--extract data: exit code %d: %s", code, said)
	}
}
