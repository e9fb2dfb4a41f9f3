package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Checkout is a place beside the user's working tree where commits are checked
// out and built. Close removes all of it; the working tree, its index and its
// branches are never touched.
type Checkout struct {
	Root string // of the user's working tree
	Dir  string // for trees and binaries; temporary

	trees []string
}

// ErrNoCommit means that a name is not that of a commit: a mistake of the user.
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

// Close removes the trees and the binaries. It does its work whatever became of
// the context that the rest was done with.
func (c *Checkout) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var faults []error
	for _, tree := range c.trees {
		if _, err := c.git(ctx, "worktree", "remove", "--force", tree); err != nil {
			faults = append(faults, fmt.Errorf("remove the worktree %s: %w", tree, err))
		}
	}
	return errors.Join(append(faults, os.RemoveAll(c.Dir))...)
}

// Commit returns the full id of the commit that ref names.
func (c *Checkout) Commit(ctx context.Context, ref string) (string, error) {
	id, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("%q: %w (a shallow clone lacks most: fetch-depth: 0)", ref, ErrNoCommit)
	}
	return id, err
}

// Changed reports whether the working tree differs from its commit, files that
// git does not know included.
func (c *Checkout) Changed(ctx context.Context) (bool, error) {
	out, err := c.git(ctx, "status", "--porcelain")
	return out != "", err
}

// Tree checks a commit out and returns where.
func (c *Checkout) Tree(ctx context.Context, name, commit string) (dir string, err error) {
	dir = filepath.Join(c.Dir, name)
	c.trees = append(c.trees, dir) // also one that came about by half
	if _, err := c.git(ctx, "worktree", "add", "--quiet", "--detach", dir, commit); err != nil {
		if _, missing := os.Stat(dir); missing != nil {
			c.trees = slices.DeleteFunc(c.trees, func(t string) bool { return t == dir })
		}
		return "", fmt.Errorf("check out %s: %w", commit, err)
	}
	return dir, nil
}

// File returns a file of a commit, nil if the commit does not have it.
func (c *Checkout) File(ctx context.Context, commit, path string) ([]byte, error) {
	if out, err := c.git(ctx, "ls-tree", "--name-only", commit, "--", path); err != nil || out == "" {
		return nil, err
	}
	out, err := c.git(ctx, "show", commit+":"+path)
	return []byte(out), err
}

// Build compiles the server in dir to a file of that name, and returns the file
// and its SHA-256. The same source gives the same bytes wherever it lies. overlay,
// if any, is a file for go build -overlay.
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
	file, err := os.Open(binary)
	if err != nil {
		return "", "", fmt.Errorf("build %s: %w", name, err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", "", fmt.Errorf("read %s: %w", binary, err)
	}
	return binary, hex.EncodeToString(hash.Sum(nil)), nil
}

// git runs git in the working tree and returns what it printed, without the last
// line's end.
func (c *Checkout) git(ctx context.Context, args ...string) (string, error) {
	// A hook of the user's repository is not meant for our trees.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.Root, "-c", "core.hooksPath=/dev/null"}, args...)...)
	// Where git itself started us, it said which repository: ours is Root's.
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
