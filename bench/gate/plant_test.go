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
	if _, err := Overlay("../..", t.TempDir(), "nosuch"); err == nil || !strings.Contains(err.Error(), strings.Join(PlantNames(), ", ")) {
		t.Errorf("%v: does not name the plants", err)
	}
}

func TestPlantsCompile(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plants {
		name := p.Name
		overlay, err := Overlay(root, t.TempDir(), name)
		if err != nil {
			t.Error(err)
			continue
		}
		cmd := exec.Command("go", "build", "-overlay", overlay, "./"+filepath.Dir(p.File))
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
	sizes.Subscribers, sizes.Length, sizes.Many, sizes.Channels = 200, sizes.Length/4, 1000, 500
	all := sizes.Macros()
	base := build("base", "")
	const fanout, idle, logged, life = "Fanout/subscribers=200/inflight=1", "Idle/transport=websocket", "LogPublish/channels=500/subscribers=1", "OpenClose/connections=166"
	for plant, want := range map[string]struct{ benchmark, units string }{
		"":                      {fanout, ""},
		"allocation":            {fanout, "allocs/delivery alloc-B/delivery"},
		"copy":                  {fanout, "buffers/publication"},
		"send":                  {fanout, "sends/delivery syscalls/delivery syscalls/publication"}, // its publisher is a subscriber, too
		"syscall":               {fanout, "syscalls/delivery syscalls/publication"},
		"syscall-publication":   {fanout, "syscalls/publication"},
		"connection":            {idle, "heap-B/connection"},
		"allocation-connection": {life, "allocs/connection alloc-B/connection"},
		"syscall-connection":    {life, "syscalls/connection"},
		"log":                   {logged, "log-B/publication"},
	} {
		at := slices.IndexFunc(all, func(m bench.Macro) bool { return m.Name == want.benchmark })
		if at < 0 {
			t.Fatalf("no benchmark %s", want.benchmark)
		}
		head := base
		if plant != "" {
			overlay, err := Overlay(root, c.Dir, plant)
			if err != nil {
				t.Fatal(err)
			}
			head = build("head-"+plant, overlay)
		}
		c := Contest{Config: config, Base: base, Head: head, ExactOnly: true, Log: io.Discard}
		r := c.result()
		samples, err := c.Run(context.Background(), all[at:at+1], r)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range r.Figures {
			// What a message itself allocates is uncertain in so short a load, and the
			// publisher's own delivery is part of it; bytes depend on the collector.
			uncertain := f.Unit == "alloc-B/publication" || f.Unit == "B/connection" || f.Unit == "allocs/publication"
			if f.Verdict == Worse && !uncertain {
				found = append(found, f.Unit)
			}
		}
		for _, f := range r.Failures {
			if f.Verdict != Same { // one sample of three may fail on a busy machine
				t.Errorf("planted %q: %+v", plant, f)
			}
		}
		units := slices.DeleteFunc(strings.Fields(want.units), func(unit string) bool {
			return strings.HasPrefix(unit, "syscalls/") && bench.WhyNoSyscalls() != ""
		})
		if !slices.Equal(found, units) {
			t.Errorf("planted %q: found in %q, want in %q\n%+v", plant, found, units, samples)
		}
	}
}
