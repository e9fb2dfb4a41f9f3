package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server/app"
	"peal/server/settings"
)

func TestAppsOfFilesAndFlags(t *testing.T) {
	one := file(t, "apps:\n  - {id: 1, key: k, secret: a-long-secret, client-event-rate: 5/s}\n")
	two := file(t, "apps:\n  - {id: 2, key: k2, secret: another-secret, namespace: 'shop:', max-members: 7}\n")
	s := load(t, settings.Input{File: one, Flags: map[string][]string{"app-file": {two}}, Environment: []string{"REVERB_APP_ID=9", "REVERB_APP_KEY=k9", "REVERB_APP_SECRET=of-the-environment"}})
	if got := s.Config.Apps; len(got) != 2 || got[0].ID != "1" || got[0].ClientEventRate.Count != 5 || got[1].Namespace != "shop:" || got[1].MaxMembers != 7 {
		t.Errorf("apps %+v", got)
	}
	text := s.YAML()
	if strings.Contains(text, "a-long-secret") || strings.Contains(text, "another-secret") || !strings.Contains(text, `secret: "(set)"`) {
		t.Errorf("the printed configuration:\n%s", text)
	}
	s = load(t, settings.Input{Flags: map[string][]string{"app": {"1:k:a-long-secret"}}, Environment: []string{"REVERB_APP_ID=9", "REVERB_APP_KEY=k9", "REVERB_APP_SECRET=of-the-environment"}})
	if s.Config.App != "1:k:a-long-secret" || len(s.Config.Apps) != 0 || strings.Contains(s.YAML(), "a-long-secret") {
		t.Errorf("app %q and %+v", s.Config.App, s.Config.Apps)
	}
}

func TestAppOfTheEnvironment(t *testing.T) {
	variables := []string{"PUSHER_APP_ID=9", "PUSHER_APP_KEY=k9", "PUSHER_APP_SECRET=of-the-environment"}
	s := load(t, settings.Input{Environment: variables})
	if want := (app.Definition{ID: "9", Key: "k9", Secret: "of-the-environment"}); len(s.Config.Apps) != 1 || s.Config.Apps[0] != want {
		t.Errorf("apps %+v", s.Config.Apps)
	}
	if s.Sources["apps"] != "PUSHER_APP_ID" || strings.Contains(s.YAML(), "of-the-environment") || !strings.Contains(s.YAML(), "# apps: # from PUSHER_APP_ID") {
		t.Errorf("from %q\n%s", s.Sources["apps"], s.YAML())
	}
	// It can replace another one in a running server.
	next := load(t, settings.Input{Environment: append([]string{"PUSHER_APP_SECRET=a-new-secret"}, variables[:2]...)})
	if changes := s.Changes(next); len(changes) != 1 || changes[0].Name != "apps" || !changes[0].Live {
		t.Errorf("changes %+v", changes)
	}
}

func TestFaultsOfApps(t *testing.T) {
	for name, c := range map[string]struct {
		in   settings.Input
		want string
	}{
		"half of the variables": {settings.Input{Environment: []string{"REVERB_APP_KEY=k"}}, "REVERB_APP_ID: REVERB_APP_ID and REVERB_APP_SECRET must be set, too"},
		"a short secret":        {settings.Input{Environment: []string{"REVERB_APP_ID=1", "REVERB_APP_KEY=k", "REVERB_APP_SECRET=abc"}}, `REVERB_APP_ID: app 1, "1": has a secret of 3 bytes`},
		"no app":                {settings.Input{Flags: map[string][]string{"app": {"very-secret"}}}, "config: app: must be ID:KEY:SECRET"},
		"the same namespace":    {settings.Input{File: file(t, "apps:\n  - {id: 1, key: k, secret: a-long-secret}\n  - {id: 2, key: k2, secret: a-long-secret}\n")}, `line 3: app 2, "2": app 1 has this namespace already`},
		"a variable":            {settings.Input{Environment: []string{"PEAL_APPS=x"}}, "PEAL_APPS: apps of the Pusher protocol are set in the configuration file only, under apps:, or in a file that app-file names"},
		"a count":               {settings.Input{File: file(t, "apps:\n  - {id: 1, key: k, secret: a-long-secret, max-members: 0}\n")}, "must be 1 to 1000"},
	} {
		_, err := settings.Load(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The example in the document is valid.
func TestAppExample(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-long-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := load(t, settings.Input{File: file(t, strings.Replace(appExample, "/etc/peal/shop.secret", secret, 1))})
	if len(s.Config.Apps) != 2 || len(s.Files) != 2 || s.Files[1] != secret {
		t.Errorf("apps %+v, files %q", s.Config.Apps, s.Files)
	}
}
