package refusal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"peal/server/refusal"
)

// codes is the set of refusal.Codes.
func codes(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, code := range refusal.Codes {
		if all[code] {
			t.Errorf("%s is there twice", code)
		}
		all[code] = true
	}
	return all
}

// sources is the source of all packages of the server, by file.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("../pusher/*/*.go")
	files = append(files, below...)
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	all := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") ||
			strings.HasPrefix(file, "../inbox/") || // what it refuses stays in the store, and reaches no client
			strings.HasPrefix(file, "../admin/") { // refuses operators, with errors of server/inspect
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = string(source)
	}
	return all
}

// A code that is not known from the start would be counted as other, and a rate
// of what was never there begins with its second refusal.
func TestCodesAreComplete(t *testing.T) {
	known := codes(t)
	pattern := regexp.MustCompile(`(?:Code: +|Bad\()"(\w+)"`)
	found := map[string]bool{}
	for file, source := range sources(t) {
		for _, m := range pattern.FindAllStringSubmatch(source, -1) {
			found[m[1]] = true
			if !known[m[1]] {
				t.Errorf("%s refuses with %s, which Codes lacks", file, m[1])
			}
		}
	}
	for code := range known {
		if !found[code] {
			t.Errorf("Codes has %s, with which nothing refuses", code)
		}
	}
}

// docs/protocol.md lists every code with its statuses, and says "yes" to another
// try exactly where the server is at fault.
func TestEveryCodeIsDocumentedWithWhetherToTryAgain(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## Error codes, and which to try again")
	if !ok {
		t.Fatal("docs/protocol.md has no section on error codes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	type row struct{ statuses, again string }
	documented := map[string]row{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[1], -1) {
			if _, ok := documented[m[1]]; ok {
				t.Errorf("%s is listed twice", m[1])
			}
			documented[m[1]] = row{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		}
	}
	known := codes(t)
	known["https_required"] = true // loop/secure/handshake.go
	for code := range known {
		if _, ok := documented[code]; !ok {
			t.Errorf("docs/protocol.md does not list %s", code)
		}
	}
	for code := range documented {
		if !known[code] {
			t.Errorf("docs/protocol.md lists %s, which does not exist", code)
		}
	}
	pattern := regexp.MustCompile(`(?s)Status: +(\d+),\s*Code: +"(\w+)"`)
	for _, source := range sources(t) {
		for _, m := range pattern.FindAllStringSubmatch(source, -1) {
			again := m[1] == "408" || m[1] == "429" || m[1] == "500" || m[1] == "503"
			if d := documented[m[2]]; !strings.Contains(d.statuses, m[1]) || strings.HasPrefix(d.again, "yes") != again {
				t.Errorf("%s has status %s: docs/protocol.md says %q, try again: %q", m[2], m[1], d.statuses, d.again)
			}
		}
	}
}
