package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"peal/bench"
	"peal/bench/record"
)

func TestCommandLineNamesNoPlaces(t *testing.T) {
	got := commandLine([]string{"--peal", "/tmp/x/peal", "--pairs", "5", "--json=/home/r.json", "--peal-args", "--admin 127.0.0.1:{admin}", "--rows", "a|b", "-json", "f", "--versus", "/tmp/y/peal-1234567 serve --loops {loops}"})
	want := "scripts/bench.sh --pairs 5 --peal-args '--admin 127.0.0.1:{admin}' --rows 'a|b' --versus 'peal-1234567 serve --loops {loops}'"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEverySampleIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ceiling.json")
	args := []string{"--json", file, "--short"}
	o, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.config.Peal, o.config.Ceiling = bench.Peal("/somewhere/peal"), &bench.Command{Label: "ceiling", Args: []string{"/somewhere/ceiling", "{port}"}}
	r, err := o.begin(context.Background(), args)
	if err != nil {
		t.Fatal(err)
	}
	r.Rows = []record.Row{{Key: "k", A: []float64{1, 2}, B: []float64{3, 4}}, {Key: "failed", A: []float64{}, Error: "lost 3"}}
	if err := o.write(r, io.Discard); err == nil || !strings.Contains(err.Error(), "some rows") {
		t.Errorf("a row failed, and the error is %v", err)
	}
	read, err := record.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if !read.Quick || read.Sizes == nil || read.Sizes.Subscribers != bench.Short().Subscribers || read.Sizes.Length != 1 || len(read.Rows) != 2 || len(read.Rows[0].A) != 2 || read.Rows[1].Error != "lost 3" ||
		read.Servers[0].Command != "peal serve --listen 127.0.0.1:{port} --loops {loops}" || read.Servers[1].Command != "ceiling {port}" {
		t.Errorf("%+v", read)
	}
}
