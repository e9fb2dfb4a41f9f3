package loop_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loop"
)

func TestUnixSocketHasItsModeAndGroup(t *testing.T) {
	before := unix.Umask(0o077)
	defer unix.Umask(before)
	group := os.Getegid()
	if os.Getuid() == 0 {
		group = 4321 // of nobody's
	}
	for _, mode := range []fs.FileMode{0o666, 0o660, 0o600, 0o777} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := loop.ListenUnix(path, loop.Permissions{Mode: mode, Group: group})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != mode|fs.ModeSocket {
			t.Errorf("mode %v, want %v", got, mode)
		}
		if got := info.Sys().(*syscall.Stat_t).Gid; int(got) != group {
			t.Errorf("group %d, want %d", got, group)
		}
	}
	if now := unix.Umask(0o077); now != 0o077 {
		t.Errorf("the umask is %o afterwards", now)
	}
}

// An error names what is wrong; the kernel alone says "address already in use" of
// a file, and "invalid argument" of a long path.
func TestUnixSocketSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	ln, err := loop.ListenUnix(used, loop.Permissions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	check := func(path, want string) {
		t.Helper()
		ln, err := loop.ListenUnix(path, loop.Permissions{Mode: 0o666})
		if err == nil {
			ln.Close()
			t.Errorf("%s: listens", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	check(file, "a file that is not a socket")
	check(used, "another server listens on it (process ")
	check(filepath.Join(dir, "none", "s"), "does not exist: make it")
	check("/"+strings.Repeat("x", 120), "has 121 bytes, a Unix socket's at most 107")
	if os.Getuid() != 0 { // root may do both
		check("/s", "may not make files")
		_, err := loop.ListenUnix(filepath.Join(dir, "s"), loop.Permissions{Mode: 0o660, Group: 1})
		if _, left := os.Lstat(filepath.Join(dir, "s")); err == nil || !strings.Contains(err.Error(), "member of the group") || left == nil {
			t.Errorf("a foreign group: %v, %v", err, left)
		}
	}
}
