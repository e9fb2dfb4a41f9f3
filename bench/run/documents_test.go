package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/bench/document"
)

// newRoot is a folder with documents of one region, and its record.
func newRoot(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files := map[string]string{"bench/results/memory.json": `{"schema":1,"name":"memory","rows":[{"key":"idle-ws","what":"resident","unit":"bytes","a":[301]}]}`}
	for _, name := range document.Documents {
		files[name] = "# Text\n"
	}
	files[document.Documents[0]] += "<!-- table: memory -->\n<!-- end: memory -->\n"
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckFindsAChangedDigit(t *testing.T) {
	dir := newRoot(t)
	try := func(args ...string) (string, error) {
		var out strings.Builder
		err := documents(context.Background(), append([]string{"--root", dir}, args...), &out, io.Discard)
		return out.String(), err
	}
	if out, err := try("--check"); !errors.Is(err, errDiffer) || !strings.Contains(out, "+| resident | 301 bytes |") {
		t.Errorf("before it is made: %v\n%s", err, out)
	}
	if _, err := try(); err != nil {
		t.Fatal(err)
	}
	if out, err := try("--check"); err != nil || out != "" {
		t.Errorf("after it is made: %v\n%s", err, out)
	}
	file := filepath.Join(dir, document.Documents[0])
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "301", "300", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := try("--check"); !errors.Is(err, errDiffer) || !strings.Contains(out, "-| resident | 300 bytes |") {
		t.Errorf("with a changed digit: %v\n%s", err, out)
	}
}

func TestUsageOfDocuments(t *testing.T) {
	for _, args := range [][]string{
		{"memory"}, {"--quick"}, {"--rounds", "2"}, {"--measure"}, {"--measure", "--check", "--peal", "p"}, {"--measure", "--peal", "p", "weather"}, {"--what"},
	} {
		if err := documents(context.Background(), append([]string{"--root", t.TempDir()}, args...), io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want wrong usage", args, err)
		}
	}
}
