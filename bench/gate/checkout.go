package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Checkout is a temporary folder where commits are unpacked and built. The user's
// working tree, its index and its branches are never changed.
type Checkout struct {
	Root string // of the user's working tree
	Dir  string // for trees and binaries; Close removes it
}

// ErrNoCommit means that a name is not the name of a commit: a mistake of the user.
var ErrNoCommit = errors.New("not a commit of this repository")

// OpenCheckout finds the repository that dir is in.
func OpenCheckout(ctx context.Context, dir string) (*Checkout, error) {
	c := &Checkout{Root: dir}
	root, err := c.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	c.Root = root
	if c.Dir, err = os.MkdirTemp("", "peal-gate-"); err != nil {
		return nil, err
	}
	return c, nil
}

// Close removes the trees and the binaries.
func (c *Checkout) Close() error { return os.RemoveAll(c.Dir) }

// Commit returns the full id of the commit that ref names.
func (c *Checkout) Commit(ctx context.Context, ref string) (string, error) {
	id, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("%q: %w (a shallow clone has only some: set fetch-depth: 0)", ref, ErrNoCommit)
	}
	return id, err
}

// Changed reports whether the working tree differs from its commit, including
// untracked files.
func (c *Checkout) Changed(ctx context.Context) (bool, error) {
	out, err := c.git(ctx, "status", "--porcelain")
	return out != "", err
}

// Tree unpacks a commit and returns the folder.
func (c *Checkout) Tree(ctx context.Context, name, commit string) (dir string, err error) {
	dir = filepath.Join(c.Dir, name)
	if _, err = c.git(ctx, "archive", "--format=tar", "--output="+dir+".tar", commit); err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = exec.CommandContext(ctx, "tar", "-xf", dir+".tar", "-C", dir).Run()
	}
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", commit, err)
	}
	return dir, nil
}

// Build compiles the server in dir and returns the binary and its SHA-256. The same
// source gives the same bytes in every folder. overlay, if any, is a file for go
// build -overlay.
func (c *Checkout) Build(ctx context.Context, dir, name, overlay string) (binary, sum string, err error) {
	binary = filepath.Join(c.Dir, name+".bin")
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/peal")...)
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build %s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		return "", "", fmt.Errorf("build %s: %w", name, err)
	}
	return binary, fmt.Sprintf("%x", sha256.Sum256(b)), nil
}

// Benchmarks returns the names that peal-gate list of the source in dir prints.
func (c *Checkout) Benchmarks(ctx context.Context, dir string) (names []string, err error) {
	cmd := exec.CommandContext(ctx, "go", "run", "-trimpath", "-buildvcs=false", "./cmd/peal-gate", "list")
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("peal-gate list of base: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.Fields(string(out)), nil
}

// Differ returns the files of these patterns that differ between base and head, a commit;
// "" is the working tree.
func (c *Checkout) Differ(ctx context.Context, base, head string, patterns ...string) ([]string, error) {
	args := append([]string{"diff", "--name-only", "--end-of-options", base}, head, "--")
	if head == "" {
		args = slices.Delete(args, len(args)-2, len(args)-1)
	}
	out, err := c.git(ctx, append(args, patterns...)...)
	return strings.Fields(out), err
}

// git runs git in the working tree and returns its output without the final newline.
func (c *Checkout) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.Root}, args...)...)
	// In a git hook, these variables name a repository, which may not be Root's.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}, name)
	})
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
