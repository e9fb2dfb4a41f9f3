package endtoend_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// anotherVersion builds the program with another version, more fields in what it hands over, and the format that is given.
func anotherVersion(t *testing.T, version, format string) (program string) {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	change := func(file string, pairs ...string) {
		t.Helper()
		source, err := filepath.Abs("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if strings.Count(string(text), pairs[i]) != 1 {
				t.Fatalf("%s has not exactly one %q: change this test with it", file, pairs[i])
			}
			text = []byte(strings.Replace(string(text), pairs[i], pairs[i+1], 1))
		}
		replaced[source] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replaced[source], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("server/upgrade/message.go", "const Format = 2\n", "const Format = "+format+"\n",
		"type Manifest struct {\n", "type Manifest struct {\n\tNovelty string\n", "type Part struct {\n", "type Part struct {\n\tNovelty []string\n")
	change("server/handing.go", "upgrade.Manifest{Format:", `upgrade.Manifest{Novelty: "of a later version", Format:`,
		"encode(first{", `encode(first{map[string]int{"later": 1}, `)
	change("server/handover.go", "type first struct {\n", "type first struct {\n\tNovelty map[string]int\n")
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "peal")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-X main.version="+version, "-o", program, "peal/cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// TestUpgradeToAnotherVersionAndBack: fields that one version lacks do not matter, and a version with a format that it cannot
// read refuses, and so does what is no Peal.
func TestUpgradeToAnotherVersionAndBack(t *testing.T) {
	h := launchHeirs(t, nil, "--log", "memory", "--loops", "2")
	p := h.peal
	version := func() string { // of the process that serves, by its log
		t.Helper()
		var v string
		for line := range strings.Lines(h.log()) {
			var said struct{ Msg, Version string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving" {
				v = said.Version
			}
		}
		return v
	}
	p.await("the server logs that it serves", func() bool { return version() != "" })
	first := version()
	s := p.events("channel=a").opened()
	passes := func(text string) {
		t.Helper()
		p.publish("a", text)
		if e := s.next(); e.data != text {
			t.Errorf("received %+v, want %s", e, text)
		}
	}
	passes("by the first one")
	next := anotherVersion(t, "N+1", "2")
	for _, turn := range []struct{ program, version string }{{next, "N+1"}, {pealBinary, first}, {next, "N+1"}} {
		h.install(t, turn.program)
		h.upgrade(t)
		p.await("the new process logs that it serves", func() bool { return version() == turn.version })
		passes("by " + turn.version)
	}

	// From here on nothing takes over.
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serves := h.process.PID
	for _, c := range []struct{ program, says string }{
		{anotherVersion(t, "N+2", "3"), "(version N+1) hands over in format 2, and this program reads format 3"},
		{broken, "not upgraded, the server goes on as it was"},
		{filepath.Join("testdata", "ws", "package.json"), "is no program for this machine"},
	} {
		h.install(t, c.program)
		said, err := h.ask()
		if err == nil || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, %s; want an error with %q", c.program, err, said, c.says)
		}
		if v := version(); v != "N+1" {
			t.Errorf("version %s serves, want N+1", v)
		}
		passes("by process that goes on")
	}
	h.install(t, pealBinary)
	h.upgrade(t)
	if h.process.PID == serves {
		t.Error("no process has taken over at last")
	}
	passes("by the last one")
}
