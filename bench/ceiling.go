package bench

import (
	"context"
	_ "embed" // for the ceiling's source
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ceilingSource is embedded, so that the ceiling can be built anywhere.
//
//go:embed ceiling/ceiling.c
var ceilingSource []byte

// BuildCeiling compiles the ceiling into dir and returns its command. It has one
// thread, whatever the number of loops. It needs gcc; without it, the error wraps
// exec.ErrNotFound.
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

// Peal returns the command of the Peal binary at path, with further arguments.
func Peal(path string, further ...string) *Command {
	args := []string{path, "serve", "--listen", "127.0.0.1:{port}", "--loops", "{loops}"}
	return &Command{Label: "peal", Args: append(args, further...)}
}
