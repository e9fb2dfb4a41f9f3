package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/spf13/pflag"

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
