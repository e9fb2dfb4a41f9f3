package scenario

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the table of the settings in docs/loadtest.md")

// TestDocuments holds the table in docs/loadtest.md to the settings.
func TestDocuments(t *testing.T) {
	s := Defaults()
	flags := Flags(&s, "")
	var table strings.Builder
	table.WriteString("| Setting | Default | Scenarios | Meaning |\n| --- | --- | --- | --- |\n")
	for _, r := range s.rows() {
		value := strings.Trim(flags.Lookup(r.name).DefValue, "[]")
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.name, value, r.scenarios(), strings.ReplaceAll(r.help, "|", `\|`))
	}
	part := regexp.MustCompile(`(?s)(<!-- settings -->\n).*(<!-- end of settings -->)`)
	const name = "../../docs/loadtest.md"
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := part.ReplaceAll(before, []byte("${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}"))
	if *update {
		if err := os.WriteFile(name, after, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(before, after) {
		t.Errorf("%s does not show the settings: run go test ./loadtest/scenario ./cmd/peal -run TestDocuments -update", name)
	}
}

// sample returns a text that sets a setting to something else than its default.
func sample(r row) string {
	switch r.to.(type) {
	case *bool:
		return "true"
	case *time.Duration:
		return "77s"
	case *string, *[]string:
		return map[bool]string{false: "word", true: "Name: word"}[strings.HasSuffix(r.name, "header")]
	case *Mix:
		return "7:7:7"
	}
	if _, ok := r.to.(interface{ GetSlice() []string }); ok {
		return cmp.Or(map[string]string{"fail-if": "p99>77ms", "stage": "7s:7/s..77/s"}[r.name], "word")
	}
	return "77"
}

// TestEachSettingIsReadAndPrinted sets each setting by its flag, prints the scenario
// file, and reads it.
func TestEachSettingIsReadAndPrinted(t *testing.T) {
	t.Setenv("NAME", "word")
	t.Setenv("SECRET", "word")
	t.Setenv("TOKEN", "word")
	t.Setenv("PUBLISH_KEY", "word")
	for _, name := range scenarios() {
		given := DefaultsOf(name)
		flags := Flags(&given, name)
		for _, r := range given.rows() {
			if !r.has(name) {
				continue
			}
			if err := flags.Set(r.name, sample(r)); err != nil {
				t.Fatalf("--%s: %v", r.name, err)
			}
		}
		var file strings.Builder
		if err := Print(&file, flags, name); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file.String(), "Name: word") || strings.Contains(file.String(), "secret: word") {
			t.Errorf("a secret is in the file:\n%s", file.String())
		}
		read := Defaults()
		got, err := Read(Flags(&read, ""), "here.yaml", []byte(file.String()))
		if err != nil || got != name || !reflect.DeepEqual(read, given) {
			t.Errorf("%v, %q:\n%+v, want\n%+v, of\n%s", err, got, read, given, file.String())
		}
	}
}

func TestReadNamesAllFaults(t *testing.T) {
	read := func(text string, args ...string) (Settings, error) {
		t.Helper()
		s := Defaults()
		f := Flags(&s, "")
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		_, err := Read(f, filepath.Join("folder", "x.yaml"), []byte(text))
		return s, err
	}
	t.Setenv("TOKEN", "t1")
	s, err := read("target: ws://{addr}/\nheader: 'Authorization: Bearer ${TOKEN}'\nrate: 7\ncsv: out.csv\njson: '-'\nname: Chat\nmetrics: [{unit: B/connection}]\nsource: [127.0.0.2, 127.0.0.3]\n", "--rate", "9")
	if err != nil || s.Rate != 9 || s.Header[0] != "Authorization: Bearer t1" || s.Out.CSV != "folder/out.csv" || s.Out.JSON != "-" || len(s.Sources) != 2 || s.Duration != 10*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := read("scenario: soak"); err != nil || s.Duration != time.Hour {
		t.Errorf("soak: %v, %v", s.Duration, err)
	}
	if s, err := read("# nothing\n"); err != nil || s.Rate != 20 {
		t.Errorf("an empty file: %+v, %v", s, err)
	}
	_, err = read("scenario: fanout\nconections: 5\naway: 1s\nrate: fast\nsize: [1, 2]\nduration: {a: 1}\nheader: ['X: ${NOT_SET_AT_ALL}']\nfail-if: p99", "--turns", "3")
	for _, want := range []string{"x.yaml:2: conections: unknown setting; did you mean connections?", "x.yaml:3: away: fanout does not have", "x.yaml:4: rate", "x.yaml:5: size",
		"x.yaml:6: duration", "x.yaml:7: header: environment variable NOT_SET_AT_ALL", "x.yaml:8: fail-if", "--turns: fanout does not have"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
	for text, want := range map[string]string{"scenario: fanot": "did you mean fanout?", "rate: 1\nrate: 2": "already defined", "a: [": "yaml", "- rate": "cannot unmarshal"} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestDocumentedFilesAreRead reads the scenario files in the documents, of which one is
// peal-gate's.
func TestDocumentedFilesAreRead(t *testing.T) {
	t.Setenv("TOKEN", "t1")
	block := regexp.MustCompile("(?s)```yaml\n(# chat.yaml\n.*?)```")
	for _, name := range []string{"../../docs/loadtest.md", "../../docs/gate.md"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := block.FindAllSubmatch(page, -1)
		for _, file := range found {
			s := Defaults()
			if _, err := Read(Flags(&s, ""), "chat.yaml", file[1]); err != nil || s.Connections != 5000 && s.InFlight != 1 {
				t.Errorf("%s: %v, %+v", name, err, s)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s has no scenario file", name)
		}
	}
}
