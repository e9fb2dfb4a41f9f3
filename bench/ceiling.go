package bench

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// ceilingSources are embedded, so that the programs can be built anywhere.
//
//go:embed ceiling/*.c ceiling/*.h
var ceilingSources embed.FS

// BuildCeiling compiles the ceiling into dir and returns its command. It has one
// thread, whatever the number of loops. It needs gcc; without it, the error wraps
// exec.ErrNotFound.
func BuildCeiling(ctx context.Context, dir string) (*Command, error) {
	c, err := buildCeiling(ctx, dir, "ceiling")
	if err == nil {
		c.Bare = true
	}
	return c, err
}

// BuildPublishing is BuildCeiling for the ceiling of publications over HTTP, which knows channels.
func BuildPublishing(ctx context.Context, dir string) (*Command, error) {
	return buildCeiling(ctx, dir, "publish")
}

func buildCeiling(ctx context.Context, dir, name string) (*Command, error) {
	sources, err := fs.Sub(ceilingSources, "ceiling")
	if err != nil {
		return nil, err
	}
	from, binary := filepath.Join(dir, name+"-source"), filepath.Join(dir, name)
	if err := os.CopyFS(from, sources); err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-o", binary, filepath.Join(from, name+".c")).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return &Command{Label: name, Args: []string{binary, "{port}"}}, nil
}

// Peal returns the command of the Peal binary at path, with further arguments.
func Peal(path string, further ...string) *Command {
	args := []string{path, "serve", "--listen", "127.0.0.1:{port}", "--loops", "{loops}"}
	return &Command{Label: "peal", Args: append(args, further...)}
}
