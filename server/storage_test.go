package server_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server"
	"peal/server/token"
)

// A start that refuses earlier tokens says so, and why.
func TestAStartReportsThatItRefusesEarlierTokens(t *testing.T) {
	dir := t.TempDir()
	check := func(engine, auth string, want ...string) {
		t.Helper()
		var text bytes.Buffer
		s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Auth: auth, Token: token.Config{Secrets: []string{strings.Repeat("s", 32)}}, Engine: engine, Log: slog.New(slog.NewTextHandler(&text, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		line := ""
		for l := range strings.Lines(text.String()) {
			if strings.Contains(l, "tokens that were issued before this start are refused") {
				line += l
			}
		}
		if len(want) == 0 && line != "" || strings.Count(line, "\n") > 1 {
			t.Errorf("%s, %s: %s", engine, auth, line)
		}
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("%s, %s: %q lacks %q", engine, auth, line, w)
			}
		}
	}
	check("memory", server.AuthToken, "level=INFO", "the log is in memory", "issued_before=20")
	check("memory", server.AuthOpen)
	check("file:"+dir, server.AuthToken, "level=INFO", "the log is new")
	check("file:"+dir, server.AuthToken)
	if err := os.Remove(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	check("file:"+dir, server.AuthToken, "the log is new") // nothing was published
}
