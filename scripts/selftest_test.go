package scripts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo stands for the compiler: what it "builds" is a gate that counts its runs and
// exits with 3 if it is interrupted, or a benchmark with one figure.
const fakeGo = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
case $2 in
*/gate) cat > "$2" <<'END' ;;
#!/bin/sh
[ "$1" != tally ] || exit 0
while [ $# -gt 0 ]; do
	case $1 in --json) json=$2 ;; esac
	shift
done
echo "$json" >> runs
[ "$(wc -l < runs)" != "$INTERRUPT" ] || { kill -INT "$PPID"; exit 4; }
echo '{}' > "$json"
END
*) printf '#!/bin/sh\nfor i in 1 2 3 4 5; do echo Fanout 5000 cpu-ns/delivery; echo cost >> costs; done\n' > "$2" ;;
esac
chmod +x "$2"
`

func TestSelfTestGoesOn(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	script, err := os.ReadFile("gate-selftest.sh")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("scripts/gate-selftest.sh", string(script))
	write("bin/go", fakeGo)
	run := func(interrupt, name string, args ...string) (string, int) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"), "OUT="+dir+"/out", "INTERRUPT="+interrupt, "TMPDIR="+dir, "HOME="+dir,
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := c.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
	commit := func() {
		t.Helper()
		for _, args := range [][]string{{"init", "-q"}, {"add", "scripts"}, {"commit", "-q", "--allow-empty", "-m", "a: commit"}} {
			if out, code := run("", "git", args...); code != 0 {
				t.Fatal(out)
			}
		}
	}
	lines := func(name string) int {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.Count(string(b), "\n")
	}
	check := func(interrupt string, code int, want string, runs int, args ...string) {
		t.Helper()
		out, got := run(interrupt, "scripts/gate-selftest.sh", args...)
		if got != code || !strings.Contains(out, want) || lines("runs") != runs {
			t.Errorf("%v: exit %d, %d runs so far, want %d, %d and %q:\n%s", args, got, lines("runs"), code, runs, want, out)
		}
	}
	commit()
	check("2", 0, "| a commit against itself | 1 | 0 | 1 | 0 | 0 |", 2, "--aa", "3") // the second is interrupted
	check("0", 0, "aa-01: exit 0, kept\n", 4, "--aa", "3")
	check("0", 0, "| a commit against itself | 4 | 0 | 4 | 0 | 0 |", 5, "--aa", "4")
	check("0", 0, "| planted: cpu=500 | 2 | 0 | 2 | 0 | 0 |", 7, "--plants", "2", "--list", "cpu")
	check("0", 0, "| planted: cpu=500 | 3 | 0 | 3 | 0 | 0 |", 8, "--plants", "3", "--list", "cpu")
	if n := lines("costs"); n != 5 {
		t.Errorf("%d samples of the cost, want 5: it is measured once", n)
	}
	check("0", 2, "was made with the arguments", 8, "--aa", "4", "--only", "^Idle")
	commit()
	check("0", 2, "has results of commit", 8, "--aa", "4")
}
