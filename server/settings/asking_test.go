package settings_test

import (
	"strings"
	"testing"
	"time"
)

func TestAskingOfTheDocument(t *testing.T) {
	s, err := loadText(t, askExample)
	if err != nil {
		t.Fatal(err)
	}
	all := s.Config.Ask
	if len(all) != 1 || all[0].Channels[0] != "orders.*" || len(all[0].On) != 2 || all[0].Headers[0] != "Cookie" {
		t.Errorf("%+v", all)
	}
}

func TestAskingIsPrintedWithoutSecrets(t *testing.T) {
	s, err := loadText(t, `ask:
  - url: https://a.example/x?token=hidden-query
    on: [publish]
    secret: hidden-secret-hidden-secret-hidden
    cache-ttl: -1s
    on-error: allow
`)
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Config.Ask[0]; d.TTL != -time.Second || d.OnError != "allow" {
		t.Errorf("%+v", d)
	}
	text := s.YAML()
	if strings.Contains(text, "hidden") || !strings.Contains(text, "https://a.example/x?(not shown)") || !strings.Contains(text, `secret: "(set)"`) {
		t.Errorf("printed:\n%s", text[strings.Index(text, "ask:"):])
	}
}

// Each mistake has its line and what to change, and no secret.
func TestMistakesInAsking(t *testing.T) {
	const rest = "\n    on: [connect]\n    secret: 123456789012345678901234\n"
	for text, want := range map[string]string{
		"  - on: [connect]\n    secret: 123456789012345678901234\n":                            "has no url: set it to the address at which your backend answers",
		"  - url: http://x.example" + rest:                                                     "use https, or set allow-private: true",
		"  - url: https://x.example\n    on: [conect]\n    secret: 123456789012345678901234\n": `unknown action "conect"; did you mean connect?`,
		"  - url: https://x.example\n    secret: 123456789012345678901234\n":                   "asks about nothing: set on",
		"  - url: https://x.example\n    on: [connect]\n":                                      "has nothing to sign with: set secret-file or secret",
		"  - url: https://x.example\n    on: [connect]\n    secret: hidden\n":                  "must have 24 to 512",
		"  - url: https://x.example\n    secret-file: /x" + rest:                               "sets more than one of secret and secret-file",
		"  - url: https://x.example\n    headers: [\"a b\"]" + rest:                            "must be the name of a header",
		"  - url: https://x.example\n    channels: [\"\\\\x\"]" + rest:                         "channels",
		"  - url: https://x.example\n    on-error: maybe" + rest:                               `on-error "maybe": must be deny or allow`,
		"  - url: https://x.example" + rest + "  - url: https://x.example" + rest:              "there can be only one",
		"  - url: https://x.example\n    timeout: 1ms" + rest:                                  "timeout",
		"  - url: https://x.example\n    queue: 0" + rest:                                      "queue",
	} {
		_, err := loadText(t, "ask:\n"+text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
