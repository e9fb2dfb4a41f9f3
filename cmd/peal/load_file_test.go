package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"peal/loadtest/liar"
	"peal/loadtest/scenario"
)

var update = flag.Bool("update", false, "write docs/loadtest.schema.json")

// TestDocuments holds docs/loadtest.schema.json to the settings.
func TestDocuments(t *testing.T) {
	const name = "../../docs/loadtest.schema.json"
	schema := []byte(ok(t, "", "load", "schema"))
	if *update {
		if err := os.WriteFile(name, schema, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(name); err != nil || !bytes.Equal(kept, schema) {
		t.Errorf("%s is not what peal load schema prints, %v: run go test ./loadtest/scenario ./cmd/peal -run TestDocuments -update", name, err)
	}
	var all struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(schema, &all); err != nil {
		t.Fatal(err)
	}
	s := scenario.Defaults()
	want := 1 + len(scenario.GateKeys)
	flags := scenario.Flags(&s, "")
	flags.VisitAll(func(*pflag.Flag) { want++ })
	if len(all.Properties) != want {
		t.Errorf("%d properties, want %d", len(all.Properties), want)
	}
	for name, p := range all.Properties {
		if p.Description == "" {
			t.Errorf("%s has no description", name)
		}
	}
}

// TestLoadRunsAFile prints the file of a run, and runs it: the files that it names are
// beside it, and flags override it.
func TestLoadRunsAFile(t *testing.T) {
	l := liar.Start(t, liar.Truth)
	folder := t.TempDir()
	file := filepath.Join(folder, "chat.yaml")
	printed := ok(t, "", append([]string{"load", "fanout", "--target", "ws://" + l.Addr + "/", "--publish", "ws://" + l.Addr + "/pub", "--connections", "3", "--idle", "0",
		"--warmup", "50ms", "--stage", "100ms:100/s", "--stage", "100ms:100/s..200/s", "--fail-if", "lost>0", "--csv", "intervals.csv", "--junit", "junit.xml", "--print-scenario"}, anyMachine...)...)
	if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	code, r, said := loadTested(t, "run", file, "--connections", "4")
	if code != 0 || r == nil || r.Scenario != "fanout" || len(r.Stages) != 2 || r.WarmUp == nil || r.Connections.Opened != 4 || r.Messages.Delivered != 4*r.Messages.Sent {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for _, name := range []string{"intervals.csv", "junit.xml"} {
		if b, err := os.ReadFile(filepath.Join(folder, name)); err != nil || len(b) < 100 {
			t.Errorf("%s: %v, %q", name, err, b)
		}
	}
	if err := os.WriteFile(file, []byte("rat: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := loadTested(t, "run", file); code != 2 || !strings.Contains(said, "did you mean rate?") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if code, _, said := loadTested(t, "run", filepath.Join(folder, "no.yaml")); code != 2 {
		t.Errorf("exit code %d: %s", code, said)
	}
}
