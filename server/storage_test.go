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
	tokens := token.Config{Secrets: []string{strings.Repeat("s", 32)}}
	check := func(engine string, tokens token.Config, want ...string) {
		t.Helper()
		var text bytes.Buffer
		s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Token: tokens, Engine: engine, Log: slog.New(slog.NewTextHandler(&text, nil))})
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
			t.Errorf("%s: %s", engine, line)
		}
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("%s: %q lacks %q", engine, line, w)
			}
		}
	}
	check("memory", tokens, "level=INFO", "the log is in memory", "issued_before=20")
	check("memory", token.Config{}) // there are no tokens
	check("file:"+dir, tokens, "level=INFO", "the log is new")
	check("file:"+dir, tokens)
	if err := os.Remove(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	check("file:"+dir, tokens, "the log is new") // nothing was published
}
