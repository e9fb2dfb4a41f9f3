package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrintConfigSaysWhatIsInForceAndWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte("workers: 3\ndrain: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PEAL_DRAIN", "6s")
	code, stdout, message := called(t, "serve", "--config", path, "--message-bytes", "128KiB", "--open", "--print-config")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, message)
	}
	for _, want := range []string{
		"\nworkers: 3 # from " + path + ", line 1\n", "\ndrain: 6s # from PEAL_DRAIN\n",
		"\nmessage-bytes: 128KiB # from --message-bytes\n", "\nopen: true # from --open\n", "\nhistory-age: 10m # default\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
}

func TestCheckJudgesAndEnds(t *testing.T) {
	if code, stdout, message := called(t, "serve", "--check"); code != 0 || stdout == "" {
		t.Errorf("exit code %d, %q, %q, want 0 and a word", code, stdout, message)
	}
	t.Setenv("PEAL_DRIAN", "1s")
	code, stdout, message := called(t, "serve", "--check", "--heartbeat", "0", "--workers", "x")
	if code != 2 || stdout != "" {
		t.Errorf("exit code %d, stdout %q, want 2 and nothing", code, stdout)
	}
	for _, want := range []string{"PEAL_DRIAN: unknown setting; did you mean PEAL_DRAIN?", "--heartbeat", "--workers", "3 faults"} {
		if !strings.Contains(message, want) {
			t.Errorf("lacks %q: %s", want, message)
		}
	}
}

func TestUnknownFlagNamesTheNearest(t *testing.T) {
	if code, _, message := called(t, "serve", "--histroy-age", "1s"); code != 2 || !strings.Contains(message, "did you mean --history-age?") {
		t.Errorf("exit code %d, %q", code, message)
	}
}
