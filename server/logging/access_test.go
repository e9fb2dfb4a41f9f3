package logging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccessLogAppendsAndClosesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	for _, line := range []string{"one\n", "two\n"} {
		a, err := OpenAccess(path)
		if err != nil {
			t.Fatal(err)
		}
		a.Write([]byte(line))
		a.Close()
	}
	if b, err := os.ReadFile(path); string(b) != "one\ntwo\n" {
		t.Errorf("%v, %q", err, b)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, mode %v: others can read who asked for what", err, info.Mode())
	}
	if a, err := OpenAccess(AccessOff); a != nil || err != nil {
		t.Errorf("off: %v, %v", a, err)
	}
	if _, err := OpenAccess(filepath.Join(path, "x")); err == nil || !strings.Contains(err.Error(), "access log") {
		t.Errorf("a file below a file: %v", err)
	}
}

// A disk that takes nothing costs lines, and nobody waits for it.
func TestAccessLogNeverBlocks(t *testing.T) {
	hold := make(chan struct{})
	a := &Access{lines: newLines(stuck{hold}, accessLines, nil)}
	for range 3 * accessLines { // would block for ever
		a.Write([]byte("line\n"))
	}
	if n := a.Lost(); n < accessLines {
		t.Errorf("%d lines left out, want at least %d", n, accessLines)
	}
	close(hold)
	a.Close()
}

type stuck struct{ until chan struct{} }

func (s stuck) Write(b []byte) (int, error) {
	<-s.until
	return len(b), nil
}
