package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"peal/bench"
	"peal/bench/gate"
	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/report"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker)
	os.Exit(m.Run())
}

// toy is a server that sends its figures to each client.
const toy = `package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	l, err := net.Listen("tcp4", os.Args[3])
	if err != nil {
		panic(err)
	}
	if _, err := net.Listen("tcp4", os.Args[7]); err != nil { // --admin
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(c, %s)
		c.Close()
	}
}
`

const toyConfig = `
samples: 2
metrics:
  - {unit: allocs/delivery, kind: exact, margin: %v}
  - {unit: cpu-ns/delivery, kind: noisy, threshold-percent: 5}
`

// repository is a small one of its own, with a toy for its server.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t, t.TempDir()}
	r.write("go.mod", "module toy\n\ngo 1.26.0\n")
	r.write("bench/gate.yaml", fmt.Sprintf(toyConfig, 0.01))
	r.server(`"allocs/delivery 0\n"`)
	r.benchmarks("Toy")
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit()
	return r
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// server makes the toy answer what an expression gives.
func (r *repository) server(expression string) {
	r.t.Helper()
	r.write("cmd/peal/main.go", fmt.Sprintf(toy, expression))
}

// benchmarks makes the list of the repository's own peal-gate.
func (r *repository) benchmarks(names string) {
	r.t.Helper()
	r.write("cmd/peal-gate/main.go", fmt.Sprintf("package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(%q) }\n", names))
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *repository) commit() {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "--quiet", "-m", "x")
}

// ask is the macro: it reads a toy's figures.
func ask(ctx context.Context, l *bench.Command) (all []bench.Measure, err error) {
	s, err := l.Launch(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	c, err := net.Dial("tcp4", s.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		var m bench.Measure
		if _, err := fmt.Sscanf(line, "%s %g", &m.Unit, &m.Value); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// run runs the gate in the repository, and holds it to leaving no trace there.
func (r *repository) run(ctx context.Context, macro bench.Macro, args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	before := r.git("status", "--porcelain", "--branch")
	var out, log bytes.Buffer
	err := run(ctx, []bench.Macro{macro}, append([]string{"--repository", r.dir}, args...), &out, &log)
	if err != nil {
		code = exitCode(err)
		fmt.Fprintln(&log, err)
	}
	if after := r.git("status", "--porcelain", "--branch"); after != before {
		r.t.Errorf("%v changed the working tree:\n%s\nwas\n%s", args, after, before)
	}
	if trees := r.git("worktree", "list"); strings.Count(trees, "\n") != 1 {
		r.t.Errorf("%v left worktrees:\n%s", args, trees)
	}
	return code, out.String(), log.String()
}

func TestGateOfARepository(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	macro := bench.Macro{Name: "Toy", Run: ask}
	check := func(name string, args []string, code int, want ...string) {
		t.Helper()
		got, stdout, stderr := r.run(t.Context(), macro, args...)
		if got != code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, got, code, stdout, stderr)
		}
		for _, w := range want {
			if !strings.Contains(stdout+stderr, w) {
				t.Errorf("%s: no %q in\n%s%s", name, w, stdout, stderr)
			}
		}
	}
	args := []string{"--base", "main"}
	check("nothing changed", args, 0, "pass (1 figures)", "A/A run", "Toy 1/2 base: 0 allocs/delivery")
	check("unknown base", []string{"--base", "nosuch"}, 2, "fetch-depth")
	check("option for a base", []string{"--base", "--all"}, 2, "not a commit")
	check("no such benchmark", append(args, "--only", "^X"), 2, "--only")
	check("no such plant", append(args, "--plant", "rot"), 2, "unknown plant")
	check("no configuration", append(args, "--config", "nosuch.yaml"), 2, "--config")

	r.server(`"allocs/delivery 1\n"`)
	check("worse in the working tree", args, 1, "regression (1 worse)", "uncommitted changes")
	check("not in a commit", append(args, "--head", "main"), 0, "pass")
	r.write("bench/gate.yaml", fmt.Sprintf(toyConfig, 2))
	const raised = " · gate.yaml changed: 1 of 1 changes let more pass\n\n**Head raises its own limits.**"
	check("limits raised", args, 1, "## peal-gate: regression (1 worse)"+raised, "**allocs/delivery: margin**")
	check("and allowed", append(args, "--allow", "gate.yaml"), 0, "## peal-gate: pass (1 figures)"+raised)
	r.write("bench/gate.yaml", "metrics: 3")
	check("a configuration that is none", args, 2, "gate.yaml")
	r.git("checkout", "--quiet", "bench/gate.yaml")

	r.server(`fmt.Sprint("allocs/delivery ", os.Getpid(), "\n")`)
	r.commit()
	check("not the same each time", args, 3, "unstable")
	check("accepted", append(args, "--unstable-ok"), 0, "unstable (1 of 1 figures)")
	r.server(`"lost a message"`)
	check("broken", []string{"--base", "main~1"}, 1, "**broken**", "lost a message")
	r.commit()
	check("broken in both", args, 4, "**failed**")
	mended := []string{"--base", "main", "--head", "main~2"}
	check("mended", mended, 4, "**failed**", "check that commit out to use its own")
	check("allowed to be new", append(mended, "--allow", "Toy"), 4, "new: only head can run it")
	r.server(`1 +`)
	check("does not compile", args, 4, "build head")
}

// TestAPullRequestCannotDisarmTheGate changes in head what the gate compares with.
func TestAPullRequestCannotDisarmTheGate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	macro := bench.Macro{Name: "Toy", Run: ask}
	check := func(name string, code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := r.run(t.Context(), macro, append([]string{"--base", "main"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", name, got, code, want, stdout, stderr)
		}
	}
	r.server(`"allocs/delivery 1\n"`)
	file := filepath.Join(r.dir, "bench/baseline.json")
	if code, stdout, stderr := r.run(t.Context(), macro, "--deterministic", "--save-baseline", "-"); code != 0 {
		t.Fatalf("%d: %s%s", code, stdout, stderr)
	} else {
		_, kept, _ := strings.Cut(stdout, "{\n")
		r.write("bench/baseline.json", "{\n"+kept)
	}
	r.commit()
	check("nothing changed", 0, "pass (1 figures)")

	kept, err := gate.ReadResult(file)
	if err != nil {
		t.Fatal(err)
	}
	*kept.Figures[0].HeadMedian = 5
	if err := report.WriteFile(file, nil, kept.Write); err != nil {
		t.Fatal(err)
	}
	check("a kept figure is raised", 1, "regression (1 raised in baseline.json)")
	check("and allowed", 0, "pass (1 figures)", "--allow", "baseline.json")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	check("the kept figures are removed", 1, "regression (1 raised in baseline.json)")
	r.git("checkout", "--quiet", "bench/baseline.json")

	r.write("bench/gate.yaml", "samples: 2\nmetrics: [{unit: allocs/delivery, kind: shown}]")
	r.server(`"allocs/delivery 2\n"`)
	check("a figure is no longer judged", 1, "regression (1 worse) · gate.yaml changed: 4 of 5 changes")
	r.git("checkout", "--quiet", "bench/gate.yaml")
	r.server(`"nothing/delivery 2\n"`)
	check("a figure is gone", 1, "regression (1 gone)")
	check("and allowed", 4, "could not measure", "--allow", "Toy: allocs/delivery") // nothing else is left
	r.commit()
	check("a kept figure is gone on both sides", 1, "base keeps it, and no side reports it")
	check("and allowed", 4, "could not measure", "--allow", "Toy")
	r.server(`"allocs/delivery 1\n"`)
	r.benchmarks("Toy\nOther")
	r.commit()
	check("a benchmark vanished", 1, "head no longer has this benchmark")
	check("and allowed", 0, "gone, and allowed", "--allow", "Other")
	check("and not selected", 0, "pass", "--only", "Toy")
	check("base has nothing that is selected", 2, "none of its 2 benchmarks is selected", "--only", "^X")
	r.benchmarks("")
	r.commit()
	check("base has no benchmark", 2, "none of its 0 benchmarks is selected")
	r.write("cmd/peal-gate/main.go", "package main")
	r.commit()
	check("base has no list", 0, "The benchmarks of base are not known")
	r.benchmarks("Toy")
	r.write("bench/gate_x.go", "package bench")
	r.git("add", "-A")
	check("the gate itself changes", 0, "Head changes what measures and judges: bench/gate_x.go, cmd/peal-gate/main.go.")
}

func TestSetsAndPairs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	r.server(`"cpu-ns/delivery 5000\np99-ns 9\n"`)
	config := func(pairs int, figures string) string {
		return fmt.Sprintf(`
pairs: 20
metrics: [{unit: cpu-ns/delivery, kind: noisy, threshold-percent: 5}, {unit: p99-ns, kind: noisy, threshold-percent: 50}]
sets: {quick: {benchmarks: ^T, pairs: %d, figures: %s}, empty: {benchmarks: ^X}}`, pairs, figures)
	}
	r.write("bench/gate.yaml", config(9, "^cpu"))
	r.commit()
	check := func(name string, code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := r.run(t.Context(), bench.Macro{Name: "Toy", Run: ask}, append([]string{"--base", "main"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", name, got, code, want, stdout, stderr)
		}
	}
	check("a set", 0, "9 pairs, interleaved, as many again for what is not decided, for 1 noisy figures with intervals whose lower ends hold with 99.75 % each, which need 9 pairs, and upper ends with 99.1 %", "--set", "quick")
	check("too few pairs", 2, "8 pairs cannot decide about 1 noisy figures", "--set", "quick", "--pairs", "8")
	check("no such set", 2, "no such set", "--set", "slow")
	check("a set of nothing", 2, "none of its 1 benchmarks is selected", "--set", "empty")
	r.write("bench/gate.yaml", config(8, "^p"))
	check("a weaker set", 2, "9 pairs cannot decide about 2 noisy figures", "--set", "quick") // base's pairs, and the figures of both
	check("a weaker set, and more pairs", 0, "gate.yaml changed: 2 of 2 changes let more pass", "--set", "quick", "--pairs", "10")
}

func TestHistory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	file := filepath.Join(t.TempDir(), "history.jsonl")
	for range 2 {
		if code, stdout, stderr := r.run(t.Context(), bench.Macro{Name: "Toy", Run: ask}, "--base", "main", "--history", file); code != 0 {
			t.Fatalf("%d: %s%s", code, stdout, stderr)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil || strings.Count(string(b), `"Toy: allocs/delivery":0`) != 2 || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%s%v", b, err)
	}
	r.write("history.jsonl", "not JSON\n")
	if code, _, stderr := r.run(t.Context(), bench.Macro{Name: "Toy", Run: ask}, "--base", "main", "--history", filepath.Join(r.dir, "history.jsonl")); code != 4 || !strings.Contains(stderr, "line 1") {
		t.Errorf("a file that is no history: %d\n%s", code, stderr)
	}
}

func TestBaseline(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	macro := bench.Macro{Name: "Toy", Run: ask}
	file := filepath.Join(t.TempDir(), "baseline.json")
	check := func(name string, code int, want string, args ...string) {
		t.Helper()
		if got, stdout, stderr := r.run(t.Context(), macro, args...); got != code || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", name, got, code, want, stdout, stderr)
		}
	}
	r.server(`"allocs/delivery 1\ncpu-ns/delivery 5000\n"`)
	check("no baseline yet", 2, "", "--baseline", file)
	check("kept", 0, "pass", "--save-baseline", file, "--deterministic")
	check("the same", 0, "pass (1 figures)", "--baseline", file, "--deterministic")
	r.server(`"allocs/delivery 2\ncpu-ns/delivery 9000\n"`)
	check("worse", 1, "regression (1 worse)", "--baseline", file, "--deterministic")
	r.server(`"cpu-ns/delivery 9000\n"`)
	check("nothing exact any more", 1, "head no longer has this benchmark", "--baseline", file, "--deterministic")
	check("a baseline without figures", 2, "", "--baseline", file, "--deterministic", "--only", "^X")
	r.server(`fmt.Sprint("allocs/delivery ", os.Getpid(), "\n")`)
	other := filepath.Join(t.TempDir(), "other.json")
	check("unstable figures are not kept", 3, "unstable", "--save-baseline", other, "--deterministic")
	if _, err := os.Stat(other); err == nil {
		t.Error("unstable figures were kept")
	}

	r.server(`"allocs/delivery 1\ncpu-ns/delivery 9000\n"`)
	check("noisy figures", 0, "Noisy figures are not judged against a file", "--baseline", file)
	r.server(`"allocs/delivery 2\n"`)
	r.write("bench/gate.yaml", fmt.Sprintf(toyConfig, 2))
	check("limits raised since", 1, "regression (1 worse) · gate.yaml changed", "--baseline", file)
	check("and allowed", 0, "pass", "--baseline", file, "--allow", "gate.yaml")
}

func TestAnEndBySignalLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	r := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	macro := bench.Macro{Name: "Toy", Run: func(ctx context.Context, l *bench.Command) ([]bench.Measure, error) {
		cancel()
		return ask(ctx, l)
	}}
	if code, _, stderr := r.run(ctx, macro, "--base", "main"); code != gate.ExitFailed {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v (%v)", left, err)
	}
}

func TestFilesThatAreWritten(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRepository(t)
	r.server(`"allocs/delivery 1\n"`)
	r.commit()
	out := t.TempDir()
	code, stdout, stderr := r.run(t.Context(), bench.Macro{Name: "Toy/n=1", Run: ask}, "--base", "main~1", "--json", "-", "--bench-out", out)
	var result gate.Result
	if err := json.Unmarshal([]byte(stdout), &result); err != nil || code != 1 || result.Exit != 1 || len(result.Figures) != 1 {
		t.Errorf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	var keys string // benchstat compares what has the same keys
	for name, want := range map[string]float64{"base.txt": 0, "head.txt": 1} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for reader := benchfmt.NewReader(bytes.NewReader(b), name); reader.Scan(); {
			r, ok := reader.Result().(*benchfmt.Result)
			if !ok {
				t.Fatalf("%s: %v", name, reader.Result())
			}
			if v, ok := r.Value("allocs/delivery"); !ok || v != want || string(r.Name) != "Toy/n=1" {
				t.Errorf("%s: %s %v", name, r.Name, r.Values)
			}
			of := ""
			for _, key := range r.Config {
				of += fmt.Sprintf("%s: %s\n", key.Key, key.Value)
			}
			if keys != "" && of != keys {
				t.Errorf("%s: keys %s, and %s in the other file", name, of, keys)
			} else {
				keys = of
			}
			lines++
		}
		if lines != 2 {
			t.Errorf("%s: %d lines\n%s", name, lines, b)
		}
	}
}

func TestUsage(t *testing.T) {
	check := func(want string, args ...string) {
		t.Helper()
		if err := run(t.Context(), nil, args, io.Discard, io.Discard); err == nil || exitCode(err) != gate.ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want a usage error with %q", args, err, want)
		}
	}
	check("what to compare with")
	check("takes flags only", "main")
	check("unknown flag", "--bas", "main")
	check("only one of them", "--base", "a", "--baseline", "b")
	check("at least 6", "--base", "a", "--pairs", "5")
	check("not allowed with --deterministic", "--base", "a", "--pairs", "20", "--deterministic")
	check("--only", "--base", "a", "--only", "(")
	check("other servers need both", "--base-cmd", "a")
	check("not allowed with --scenario", "--base", "a", "--head-cmd", "a", "--scenario", "s")
	check("no such file", "--base-cmd", "a", "--head-cmd", "a", "--scenario", "nosuch")
	check("only one on standard output", "--base", "a", "--json", "-", "--markdown", "-")
}

func TestTally(t *testing.T) {
	figure := func(v gate.Verdict, high float64) gate.Figure {
		low := high - 2
		return gate.Figure{Benchmark: "B", Unit: "u", Kind: gate.Noisy, Base: []float64{1}, Head: []float64{2}, Verdict: v, LowPercent: &low, HighPercent: &high}
	}
	var b bytes.Buffer
	err := tally(&b, []*gate.Result{
		{Exit: 0, Figures: []gate.Figure{figure(gate.Same, 4)}},
		{Exit: 0, Figures: []gate.Figure{figure(gate.Better, 6)}},
		{Exit: 1, Figures: []gate.Figure{figure(gate.Worse, 5)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 runs: 2 pass, 1 regression", "| B         | u      | 1     | 1      | 0        | 1    | –      | +2.0 to +6.0 % |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
