package gate

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peal/bench"
)

func TestAPlantMustFindItsPlace(t *testing.T) {
	p := Plant{Name: "x", Old: "a(b)", New: "c"}
	for source, ok := range map[string]bool{"a(b)": true, "a(b) a(b)": false, "a(c)": false} {
		if got, err := p.source(source); (err == nil) != ok {
			t.Errorf("%q: %q, %v", source, got, err)
		}
	}
	for _, bad := range []string{"cpu=x", "cpu=0", "copy=3"} {
		if _, err := Overlay("../..", t.TempDir(), bad); err == nil {
			t.Errorf("planted %q", bad)
		}
	}
	if _, err := Overlay("../..", t.TempDir(), "nosuch"); err == nil || !strings.Contains(err.Error(), "allocation, copy, send, cpu") {
		t.Errorf("%v: does not name the plants", err)
	}
}

func TestPlantsCompile(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range PlantNames() {
		overlay, err := Overlay(root, t.TempDir(), name)
		if err != nil {
			t.Error(err)
			continue
		}
		cmd := exec.Command("go", "build", "-overlay", overlay, "./loop")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestPlantedRegressionsAreFound builds the real server with a regression in it
// and measures it against itself: exact figures must give each away.
func TestPlantedRegressionsAreFound(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures real servers for half a minute, which have no race detector in them: scripts/test.sh runs it without")
	}
	b, err := os.ReadFile("../gate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := parse(t, string(b))
	config.Samples = 2
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkout{Root: root, Dir: t.TempDir()}
	build := func(name, overlay string) *bench.Command {
		t.Helper()
		binary, _, err := c.Build(t.Context(), root, name, overlay)
		if err != nil {
			t.Fatal(err)
		}
		return bench.Peal(binary, "--admin", "127.0.0.1:{admin}")
	}
	sizes := bench.GateSizes()
	sizes.Subscribers, sizes.Length = 200, sizes.Length/4
	const fanout = "Fanout/subscribers=200/inflight=1"
	all := sizes.Macros()
	at := slices.IndexFunc(all, func(m bench.Macro) bool { return m.Name == fanout })
	if at < 0 {
		t.Fatalf("no benchmark %s", fanout)
	}
	macro := all[at]
	base := build("base", "")
	for plant, units := range map[string][]string{
		"":           nil,
		"allocation": {"allocs/delivery", "alloc-B/delivery"},
		"copy":       {"buffers/publication"},
		"send":       {"sends/delivery"},
	} {
		head := base
		if plant != "" {
			overlay, err := Overlay(root, c.Dir, plant)
			if err != nil {
				t.Fatal(err)
			}
			head = build("head-"+plant, overlay)
		}
		samples, err := (&Contest{Config: config, Base: base, Head: head, ExactOnly: true, Log: io.Discard}).Run(context.Background(), []bench.Macro{macro})
		if err != nil {
			t.Fatal(err)
		}
		r := &Result{Base: Build{Name: "base"}, Config: config, ExactOnly: true}
		r.Judge(samples)
		var found []string
		for _, f := range r.Figures {
			// What a message itself allocates is uncertain in so short a load, and the
			// publisher's own delivery is part of it.
			uncertain := f.Unit == "allocs/publication" || f.Unit == "alloc-B/publication"
			if f.Verdict == Worse && !uncertain {
				found = append(found, f.Unit)
			}
		}
		for _, f := range r.Failures {
			t.Errorf("planted %q: %+v", plant, f)
		}
		if got, want := strings.Join(found, ", "), strings.Join(units, ", "); got != want {
			t.Errorf("planted %q: found in %q, want in %q\n%+v", plant, got, want, samples)
		}
	}
}
