package server_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"peal/server"
	"peal/server/token"
)

// Each fault of the settings about access is a line of its own.
func TestFaultsOfAccessAreReportedTogether(t *testing.T) {
	err := server.Config{Auth: "closed", TokenCookie: "a b", Token: token.Config{Secrets: []string{"short"}, Keys: []string{"/nowhere.pem"}}}.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{`auth "closed": must be open or token`, `token-cookie "a b"`, "token-secret", "token-key"} {
		found := false
		for line := range strings.Lines(err.Error()) {
			found = found || strings.HasPrefix(line, "config: ") && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("no line about %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short\"") {
		t.Errorf("the secret is in the error: %v", err)
	}
}

// A server that everyone can use, on an address that everyone can reach, warns of it in
// one line; one that needs tokens does not.
func TestAPublicServerWithoutTokensWarns(t *testing.T) {
	for _, c := range []struct {
		config server.Config
		warns  int
	}{
		{server.Config{Listen: []string{"0.0.0.0:0"}, Open: true}, 1},
		{server.Config{Listen: []string{"127.0.0.1:0"}, Open: true}, 0},
		{server.Config{Listen: []string{"0.0.0.0:0"}, Auth: server.AuthToken, Token: token.Config{Secrets: []string{strings.Repeat("s", 32)}}}, 0},
	} {
		var text bytes.Buffer
		c.config.Log = slog.New(slog.NewTextHandler(&text, nil))
		s, err := server.New(c.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(text.String(), "--auth token"); got != c.warns {
			t.Errorf("%v, open %v, auth %q: %d warnings, want %d: %s", c.config.Listen, c.config.Open, c.config.Auth, got, c.warns, text.String())
		}
	}
}
