package catalogue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/bench"
	"peal/bench/document"
	"peal/bench/record"
)

// TestMain also plays a server that accepts and says nothing.
func TestMain(m *testing.M) {
	if port := os.Getenv("CATALOGUE_PORT"); port != "" {
		if _, err := net.Listen("tcp4", "127.0.0.1:"+port); err != nil {
			os.Exit(1)
		}
		select {}
	}
	os.Exit(m.Run())
}

func TestEveryEntryHasATable(t *testing.T) {
	for _, e := range Entries() {
		text := "<!-- table: " + e.Name + " -->\n<!-- end: " + e.Name + " -->\n"
		_, err := document.Render(map[string][]byte{"D": []byte(text)}, nil)
		if err == nil || !strings.Contains(err.Error(), "has no record") {
			t.Errorf("%s: %v, want it to lack its record only", e.Name, err)
		}
	}
}

// fakePeal writes its arguments as its report, and ends as after a run that is
// not valid.
const fakePeal = `#!/bin/sh
all="$*"
while [ $# -gt 1 ]; do shift; done
echo "{\"schema\": 1, \"arguments\": \"$all\"}" > "$1"
exit 3
`

func newKit(t *testing.T) *Kit {
	t.Helper()
	dir := t.TempDir()
	k := &Kit{Root: dir, Peal: filepath.Join(dir, "peal-of-today"), Dir: filepath.Join(dir, "files"), Log: t.Output()}
	if err := errors.Join(os.Mkdir(k.Dir, 0o755), os.WriteFile(k.Peal, []byte(fakePeal), 0o755)); err != nil {
		t.Fatal(err)
	}
	return k
}

func mute(name string) server {
	return server{record.Server{Name: name}, &bench.Command{Label: name, Args: []string{"env", "CATALOGUE_PORT={port}", os.Args[0]}}, 1}
}

func TestLoadKeepsEveryReportInTurns(t *testing.T) {
	k := newKit(t)
	r := &record.Record{Name: "n"}
	args := []string{"--target", "ws://127.0.0.1:{port}/"}
	a, b := mute("a"), mute("b")
	if err := k.load(context.Background(), r, 2, []plan{{"x", a, "fanout", args}, {"x", b, "fanout", args}}); err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, run := range r.Runs {
		order += run.Server
		if want := "peal load fanout --target ws://127.0.0.1:{port}/ --pid {pid}"; run.Command != want {
			t.Errorf("kept as %q, want %q", run.Command, want)
		}
		var report struct{ Arguments string }
		if err := json.Unmarshal(run.Report, &report); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(report.Arguments, "{") || !strings.Contains(report.Arguments, "load fanout --target ws://127.0.0.1:") {
			t.Errorf("was run as %q", report.Arguments)
		}
	}
	if order != "abba" || len(r.Servers) != 2 {
		t.Errorf("order %s with %d servers, want abba with 2", order, len(r.Servers))
	}
}

func TestLoadWithoutAReportIsAnError(t *testing.T) {
	k := newKit(t)
	if err := os.WriteFile(k.Peal, []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := k.load(context.Background(), &record.Record{}, 1, []plan{{"x", mute("a"), "fanout", nil}})
	if err == nil || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("%v, want exit status 2", err)
	}
}

func TestAServerThatEndsIsNoServer(t *testing.T) {
	k := newKit(t)
	s := server{record.Server{Name: "a"}, &bench.Command{Label: "a", Args: []string{"false"}}, 1}
	if err := k.starts(context.Background(), s); err == nil {
		t.Error("it started")
	}
	if err := k.starts(context.Background(), mute("a")); err != nil {
		t.Error(err)
	}
}

func TestARecordWithFailedRowsIsKept(t *testing.T) {
	k := newKit(t)
	scripts := filepath.Join(k.Root, "scripts")
	text := "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\necho '{\"schema\": 1, \"name\": \"gate\"}' > \"$1\"\nexit 1\n"
	if _, err := k.gate(context.Background()); !errors.Is(err, ErrAbsent) {
		t.Errorf("%v, want that it is absent", err)
	}
	if err := errors.Join(os.Mkdir(scripts, 0o755), os.WriteFile(filepath.Join(scripts, "gate-selftest.sh"), []byte(text), 0o755)); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, e := range Entries() {
		if e.Name == "gate" {
			if err := e.Measure(context.Background(), k, folder); err != nil {
				t.Error(err)
			}
		}
	}
	if all, err := record.ReadAll(folder); err != nil || all["gate"] == nil {
		t.Errorf("%v, %v", all, err)
	}
}

func TestPartRows(t *testing.T) {
	const answer = `goos: linux
pkg: peal/loop/ring
cpu: AMD
BenchmarkPublish/loops=1-2  100  28.5 ns/op  0 B/op  0 allocs/op
BenchmarkPublish/loops=1-2  100  30.5 ns/op  0 B/op  1 allocs/op
PASS
ok   peal/loop/ring 1s
pkg: peal/loop/fanout
BenchmarkFlush/subs=1  14172  4241 ns/op  23581467 deliveries/s  42.5 ns/delivery  0 B/op  0 allocs/op
`
	rows, err := partRows(strings.NewReader(answer))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, r := range rows {
		b, _ := json.Marshal([]any{r.Key, r.What, r.A})
		got.Write(append(b, '\n'))
	}
	const want = `["loop/ring Publish/loops=1","ns/op",[28.5,30.5]]
["loop/ring Publish/loops=1","allocs/op",[0,1]]
["loop/fanout Flush/subs=1","ns/delivery",[42.5]]
["loop/fanout Flush/subs=1","allocs/op",[0]]
`
	if got.String() != want {
		t.Errorf("%s, want %s", got.String(), want)
	}
	for _, bad := range []string{"PASS\n", "BenchmarkX 1 2 ns/op\n"} {
		if rows, err := partRows(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gives %v, want an error", bad, rows)
		}
	}
}
