package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestMacroTakesAnExpressionOrNone(t *testing.T) {
	list := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		if err := run(t.Context(), append(args, "--list"), &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if all := list("--macro"); !strings.Contains(all, "Fanout/subscribers=5000/inflight=16\n") || !strings.Contains(all, "Idle/transport=sse/after=requests\n") {
		t.Errorf("all:\n%s", all)
	}
	if some := list("--macro=^Fanout.*=16$", "--gate-sizes"); some != "Fanout/subscribers=1000/inflight=16\nFanout/subscribers=3000/inflight=16\n" {
		t.Errorf("some:\n%s", some)
	}
	for _, p := range new(options).parts() {
		if list("--"+p.name) == "" {
			t.Errorf("--%s selects nothing", p.name)
		}
	}
	for _, args := range [][]string{{"--macro=("}, {"--macro", "Fanout"}, {"--macro", "--count", "0"}} {
		if err := run(t.Context(), append(args, "--list"), io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want wrong usage", args, err)
		}
	}
}
