package bench

import (
	"context"
	_ "embed" // for the ceiling's source
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ceilingSource travels in the binary, so that it can be built anywhere.
//
//go:embed ceiling/ceiling.c
var ceilingSource []byte

// BuildCeiling compiles the ceiling into dir and returns a launcher for it,
// which ignores the number of loops: it has one thread. It needs gcc; the error
// wraps exec.ErrNotFound when there is none.
func BuildCeiling(ctx context.Context, dir string) (*Command, error) {
	source, binary := filepath.Join(dir, "ceiling.c"), filepath.Join(dir, "ceiling")
	if err := os.WriteFile(source, ceilingSource, 0o644); err != nil {
		return nil, fmt.Errorf("build the ceiling: %w", err)
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-o", binary, source).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build the ceiling: %w\n%s", err, out)
	}
	return &Command{Label: "ceiling", Args: []string{binary, "{port}"}, Bare: true}, nil
}

// Peal returns a launcher for the Peal binary at path with further arguments.
func Peal(path string, further ...string) *Command {
	args := []string{path, "serve", "--listen", "127.0.0.1:{port}", "--loops", "{loops}"}
	return &Command{Label: "peal", Args: append(args, further...)}
}
