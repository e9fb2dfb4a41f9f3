package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/server/settings"
)

// load reads a configuration file with that text.
func loadText(t *testing.T, text string) (*settings.Settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return settings.Load(settings.Input{File: path})
}

func TestWebhooksOfTheDocument(t *testing.T) {
	s, err := loadText(t, webhookExample)
	if err != nil {
		t.Fatal(err)
	}
	all := s.Config.Webhooks
	if len(all) != 2 || all[0].Channels[0] != "orders.*" || all[1].App != "1" || len(all[1].Events) != 5 {
		t.Errorf("%+v", all)
	}
}

// Secrets are not printed: neither a secret nor the query of a URL.
func TestWebhooksArePrintedWithoutSecrets(t *testing.T) {
	s, err := loadText(t, `webhooks:
  - name: a
    url: https://a.example/x?token=hidden-query
    events: [publication]
    channels: ["*"]
    secret: hidden-secret-hidden-secret-hidden
    retry-for: 2h
`)
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Config.Webhooks[0]; d.RetryFor != 2*time.Hour || d.URL != "https://a.example/x?token=hidden-query" {
		t.Errorf("%+v", d)
	}
	text := s.YAML()
	if strings.Contains(text, "hidden") || !strings.Contains(text, "https://a.example/x?(not shown)") || !strings.Contains(text, `secret: "(set)"`) {
		t.Errorf("printed:\n%s", text[strings.Index(text, "webhooks:"):])
	}
}

// Each mistake has its line and what to change, and no secret.
func TestMistakesInWebhooks(t *testing.T) {
	const rest = "\n    events: [publication]\n    channels: [a]\n    secret: 123456789012345678901234\n"
	for text, want := range map[string]string{
		"  - name: a\n    url: ftp://x.example" + rest:                                                               "line 2: webhook 1, \"a\": url: must begin with https://",
		"  - name: a\n    url: http://x.example" + rest:                                                              "use https, or set allow-private: true",
		"  - name: a\n    url: https://u:hidden@x.example" + rest:                                                    "has a user name or password: remove it",
		"  - name: a\n    url: /hooks" + rest:                                                                        "must be an absolute URL",
		"  - url: https://x.example" + rest:                                                                          "has no name: set name",
		"  - name: a\n    url: https://x.example" + rest + "  - name: a\n    url: https://x.example" + rest:          "line 7: webhook 2, \"a\": webhook 1 has this name already",
		"  - name: a\n    url: https://x.example\n    events: [publications]\n    secret: 123456789012345678901234":  "did you mean publication?",
		"  - name: a\n    url: https://x.example\n    events: [publication]\n    secret: 123456789012345678901234":   "wants publications, and has no channels",
		"  - name: a\n    url: https://x.example\n    secret: 123456789012345678901234":                              "has no events: set events to one or more of channel_occupied",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]\n    secret: hidden":                "secret: has 6 bytes: must have 24 to 512",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]\n    secret: whsec_hidden!":         "is not base64",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]":                                    "has nothing to sign with: set secret-file, secret, or app",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]\n    app: 1\n    secret-file: /x":   "sets more than one of secret, secret-file and app",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]\n    app: 1\n    channels: ['\\x']": "precedes neither",
		"  - name: a\n    url: https://x.example\n    events: [channel_occupied]\n    app: 1\n    retry-for: 1ms":    "must be 1s to 720h",
	} {
		_, err := loadText(t, "webhooks:\n"+text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden@") || strings.Contains(err.Error(), "hidden!") {
			t.Errorf("%s\ngives %v\nwant %s", text, err, want)
		}
	}
}
