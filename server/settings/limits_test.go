package settings_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"peal/server/settings"
)

// notLimits are numbers, sizes, durations and rates that limit nothing that clients can fill.
var notLimits = []string{"token-leeway", "fsync-interval", "deflate-min-bytes", "drain-delay"}

// docs/limits.md has a row for each setting that is a limit, and names no others.
func TestLimitsPageIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{} // with its cell of defaults
	name := regexp.MustCompile("`([a-z-]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 5 || slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) == "" }) {
			t.Errorf("a row of docs/limits.md needs setting, default, answer, metric and what full does: %s", line)
		}
		for _, m := range name.FindAllStringSubmatch(cells[0], -1) {
			if listed[m[1]] != "" {
				t.Errorf("docs/limits.md has %s twice", m[1])
			}
			listed[m[1]] = cells[1]
		}
	}
	for _, s := range settings.All() {
		limits := slices.Contains([]string{"number", "size", "duration", "rate"}, s.Kind()) && !slices.Contains(notLimits, s.Name)
		switch cell := listed[s.Name]; {
		case limits && cell == "":
			t.Errorf("docs/limits.md lacks %s: add a row with its default, what a client gets beyond it, its metric and what full does (or add it to notLimits)", s.Name)
		case !limits && cell != "":
			t.Errorf("docs/limits.md lists %s, which is a %s", s.Name, s.Kind())
		case limits && s.Default == "" && !strings.Contains(cell, s.DefaultText()):
			t.Errorf("docs/limits.md: the default of %s is %s, the page has %s", s.Name, s.DefaultText(), cell)
		}
		delete(listed, s.Name)
	}
	for s := range listed {
		t.Errorf("docs/limits.md lists %s, which is no setting", s)
	}
}
