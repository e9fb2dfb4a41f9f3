package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// A test writes the manual and the completions, and not the program: the library that
// formats manuals stays out of the binary.
var manual = flag.String("manual", "", "folder to which TestManual writes man/*.1 and completions/")

// writeManual writes the manual pages of all commands to DIR/man, and the completions
// of the shells to DIR/completions. SOURCE_DATE_EPOCH is the date of the pages.
func writeManual(dir string) error {
	for _, d := range []string{"man", "completions"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	root := newRoot(io.Discard, io.Discard)
	root.DisableAutoGenTag = true
	for name, write := range map[string]func(io.Writer) error{
		"peal":      func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_peal":     root.GenZshCompletion,
		"peal.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "completions", name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Peal", Manual: "Peal"}, filepath.Join(dir, "man"))
}

func TestManual(t *testing.T) {
	dir := *manual
	if dir == "" {
		dir = t.TempDir()
	}
	if err := writeManual(dir); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	for _, shell := range []string{"peal", "_peal", "peal.fish"} {
		if !strings.Contains(read("completions/"+shell), "peal") {
			t.Errorf("completions/%s does not complete peal", shell)
		}
	}
	pages := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.IsAvailableCommand() {
			return
		}
		pages++
		page := read("man/" + strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1")
		if !strings.Contains(page, ".SH NAME") || !strings.Contains(page, c.Short) {
			t.Errorf("the manual page of %s lacks its name or its purpose", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	for _, c := range newRoot(io.Discard, io.Discard).Commands() {
		visit(c)
	}
	if pages < 10 {
		t.Errorf("%d manual pages, want one for each command", pages)
	}
}
