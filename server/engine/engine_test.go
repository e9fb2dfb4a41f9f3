package engine_test

import (
	"strings"
	"testing"
	"time"

	"peal/server/engine"
	"peal/server/log"
	"peal/server/log/file"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                     "",
		"memory":               "",
		"file:/x":              "",
		"file:./a:b":           "",
		"file:":                `log "file:": the directory is missing, as in file:/var/lib/peal`,
		"file":                 `log "file": must be memory, or file: and a directory, as in file:/var/lib/peal, or redis: and a URL, as in redis://127.0.0.1:6379`,
		"memory:":              `log "memory:": must be memory, or file: and a directory, as in file:/var/lib/peal, or redis: and a URL, as in redis://127.0.0.1:6379`,
		"redis:":               `log "redis:": the URL is missing, as in redis://127.0.0.1:6379`,
		"redis://one":          "",
		"file:///x@y":          "",
		"file:x@y":             "",
		"file://u:s3cr3t@h/d":  `log "file://…": it has a user or a password, as a URL of another machine, and must be file: and a directory of this machine, as in file:/var/lib/peal`,
		"file://u:s3/cr3t@h/d": `log "file://…": it has a user or a password, as a URL of another machine, and must be file: and a directory of this machine, as in file:/var/lib/peal`,
		"resis://u:s3cr3t@one": `log "resis:…": must be memory, or file: and a directory, as in file:/var/lib/peal, or redis: and a URL, as in redis://127.0.0.1:6379`,
		"nats://one":           `log "nats://one": must be memory, or file: and a directory, as in file:/var/lib/peal, or redis: and a URL, as in redis://127.0.0.1:6379`,
	} {
		err := engine.Validate(name, engine.Settings{}, 1000)
		if got := ""; err != nil {
			got = err.Error()
			if got != want {
				t.Errorf("%q: %s, want %s", name, got, want)
			}
		} else if want != "" {
			t.Errorf("%q: no error, want %s", name, want)
		}
	}
}

func TestSettingsOfAnEngineAreChecked(t *testing.T) {
	bad := engine.Settings{File: file.Config{Fsync: "sometimes"}}
	if err := engine.Validate("memory", bad, 1); err == nil || !strings.Contains(err.Error(), "sometimes") {
		t.Errorf("of an engine that is not used: %v", err)
	}
	if err := engine.Validate("file:/x", engine.Settings{}, file.MaxMessageBytes+1); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a message too long for files: %v", err)
	}
	s := engine.Settings{}.WithDefaults(nil)
	if setting, bytes := engine.Queue("file:/x", s); setting != "log-queue-bytes" || bytes != file.DefaultQueueBytes {
		t.Errorf("queue %s, %d", setting, bytes)
	}
	if setting, _ := engine.Queue("memory", s); setting != "" {
		t.Errorf("queue %s", setting)
	}
}

func TestRedacted(t *testing.T) {
	for name, want := range map[string]string{
		"memory": "memory", "file:/x": "file:/x", "file:/x@y": "file:/x@y", "nats://one": "nats://one",
		"redis://u:s3cr3t@one": "redis://u:xxxxx@one", "resis://u:s3cr3t@one": "…", "file://u:s3cr3t@one": "…", "file://u:s3/cr3t@one": "…",
	} {
		if got := engine.Redacted(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

// Each engine numbers, feeds its tail and goes on where it ended, or begins anew.
func TestEachEngineOpens(t *testing.T) {
	for name, survives := range map[string]bool{"memory": false, "file:" + t.TempDir(): true} {
		for life := range uint64(2) {
			l, err := engine.Open(name, engine.Settings{}.WithDefaults(nil), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			restored := uint64(0)
			if err := l.Start(log.Tails{}, func(batch []*log.Entry) { restored += uint64(len(batch)) }); err != nil {
				t.Fatal(err)
			}
			if want := life; (restored == want) != (survives || life == 0) || l.Failing() != nil || l.Oldest() != 1 {
				t.Errorf("%s, life %d: %d restored, oldest %d, failing: %v", name, life, restored, l.Oldest(), l.Failing())
			}
			done := make(chan error, 1)
			if err := l.Append([]*log.Entry{{Channel: "a"}}, func(err error) { done <- err }); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if l, err := engine.Open("file:/dev/null/x", engine.Settings{}, time.Now); err == nil || l != nil {
		t.Errorf("%v, %v", l, err)
	}
}
