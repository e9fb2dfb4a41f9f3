package catalogue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peal/bench"
	"peal/bench/document"
	"peal/bench/record"
)

// TestMain can also be a server that accepts connections and sends nothing.
func TestMain(m *testing.M) {
	if port := os.Getenv("CATALOGUE_PORT"); port != "" {
		if _, err := net.Listen("tcp4", "127.0.0.1:"+port); err != nil {
			os.Exit(1)
		}
		select {}
	}
	os.Exit(m.Run())
}

// TestRunsAreWhatTheCatalogueSays: a quick pass is smaller by the later of two flags.
func TestRunsAreWhatTheCatalogueSays(t *testing.T) {
	k := newKit(t)
	k.Quick = true
	for _, e := range Entries() {
		ways := 0
		for _, is := range []bool{e.Bench != "", e.Runs != nil, e.Function != ""} {
			if is {
				ways++
			}
		}
		if ways != 1 || e.Function != "" && functions[e.Function] == nil || e.Function == "" && e.Rounds == 0 {
			t.Errorf("%s: %d ways to measure it, function %q, %d rounds", e.Name, ways, e.Function, e.Rounds)
		}
		for _, one := range e.Runs {
			_, external := catalogue.Servers[one.Server]
			if (one.Load == "") == (one.Script == "") || one.Label == "" || one.Server != "" && one.Server != "ceiling" && !external {
				t.Errorf("%s: %+v", e.Name, one)
			}
		}
	}
	i := slices.IndexFunc(Entries(), func(e Entry) bool { return e.Name == "latency-load" })
	plans := k.plans(Entries()[i].Runs[0], mute("a"))
	if len(plans) != 3 || plans[1].label != "20 messages/s" || plans[1].scenario != "fanout" ||
		!strings.HasSuffix(strings.Join(plans[1].args, " "), "--connections 1000 --rate 20 --duration 4s --connections 200 --duration 1s") {
		t.Errorf("%+v", plans)
	}
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
	s := server{record.Server{Name: "a"}, &bench.Command{Label: "a", Args: []string{"false"}}, 1}
	if err := s.starts(context.Background()); err == nil {
		t.Error("it started")
	}
	s = mute("a")
	if err := s.starts(context.Background()); err != nil {
		t.Error(err)
	}
}

// script puts a script into the kit's root that writes text to its last argument
// and ends with code.
func script(t *testing.T, k *Kit, name, text string, code int) {
	t.Helper()
	file := filepath.Join(k.Root, "scripts", name)
	body := fmt.Sprintf("#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\necho '%s' > \"$1\"\nexit %d\n", text, code)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(body), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func measure(t *testing.T, k *Kit, name string) (*record.Record, error) {
	t.Helper()
	folder := t.TempDir()
	for _, e := range Entries() {
		if e.Name != name {
			continue
		}
		if err := e.Measure(context.Background(), k, folder); err != nil {
			return nil, err
		}
	}
	return record.Read(filepath.Join(folder, name+".json"))
}

func TestARecordWithFailedRowsIsKept(t *testing.T) {
	k := newKit(t)
	script(t, k, "bench.sh", `{"schema": 1, "name": "memory", "rows": [{"key": "memory-ws", "a": [], "error": "it rained"}]}`, 1)
	if r, err := measure(t, k, "memory"); err != nil || r.Rows[0].Error != "it rained" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := measure(t, k, "ceiling"); err == nil {
		t.Errorf("a record of another name is taken: %+v", r)
	}
	script(t, k, "bench.sh", `{"schema": 7}`, 0)
	if r, err := measure(t, k, "memory"); !errors.Is(err, record.ErrSchema) {
		t.Errorf("%+v, %v, want an unknown schema", r, err)
	}
}

func TestTheGateIsCounted(t *testing.T) {
	k := newKit(t)
	if r, err := measure(t, k, "gate"); err == nil {
		t.Errorf("without the script it gives %+v", r)
	}
	script(t, k, "gate-selftest.sh", "", 1)
	if r, err := measure(t, k, "gate"); err == nil {
		t.Errorf("a test that failed gives %+v", r)
	}
	e, err := record.Capture(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	t.Setenv("OUT", out)
	result := func(name, cpu string, exit int) {
		text := fmt.Sprintf(`{"schema": 2,"began":"2026-01-02T03:04:05Z","base":{"commit":"abc"},"environment":{"cpu":%q,"kernel":%q},"exit":%d}`, cpu, e.Kernel, exit)
		if err := os.WriteFile(filepath.Join(out, name+".json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, exit := range map[string]int{"aa-1": 0, "aa-2": 1, "aa-3": 3, "allocation-1": 1, "copy-1": 1, "send-1": 1, "cpu-1": 1} {
		result(name, e.CPU, exit)
	}
	if r, err := measure(t, k, "gate"); err != nil || r.Environment.Commit != "abc" {
		t.Fatalf("%+v, %v", r, err)
	}
	result("cpu-2", e.CPU, 0)
	r, err := measure(t, k, "gate")
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for i := range r.Rows {
		got = append(got, r.Rows[i].A...)
	}
	if want := []float64{3, 1, 1, 0, 100, 100, 100, 50}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if o := r.Rows[7]; o.Verdict() != "missed" {
		t.Errorf("cpu found in half of the runs: %s", o.Verdict())
	}
	result("cpu-3", "another", 1)
	if r, err := measure(t, k, "gate"); err == nil {
		t.Errorf("a result of another machine is counted: %+v", r)
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
