package endtoend_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/scripts/leak"
)

// patience bounds every single wait. It is long because CI machines are slow
// and nothing waits for it to pass.
const patience = 2 * time.Minute

// pealBinary is the path of the real program.
var pealBinary string

// TestMain builds the program and fails when tests leave goroutines or
// processes behind.
func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	// Whatever our children start and abandon becomes our child, so that it is seen.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become subreaper:", err)
		return 1
	}
	// Where SIGHUP is ignored, as under nohup, children ignore it, too. A signal that is
	// handled here has its default in them.
	if signal.Ignored(unix.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP) // never read
	}
	dir, err := os.MkdirTemp("", "peal-endtoend-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	pealBinary = filepath.Join(dir, "peal")
	if out, err := exec.Command("go", "build", "-o", pealBinary, "peal/cmd/peal").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	code := leak.Main(m)
	if left := leftChildren(); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "processes left behind:\n"+left)
		code = 1
	}
	return code
}

// leftChildren names the processes that are still ours, running or ended.
func leftChildren() string {
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
		return ""
	}
	names := ""
	for _, c := range children() {
		names += fmt.Sprintln(c.pid, c.name)
	}
	return names
}

type childProcess struct {
	pid  int
	name string // the first 15 bytes of it, as the kernel has it
}

func children() (list []childProcess) {
	tasks, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is good
	for _, task := range tasks {
		pids, _ := os.ReadFile(task) // a thread that has ended has none
		for text := range strings.FieldsSeq(string(pids)) {
			pid, _ := strconv.Atoi(text) // written by the kernel
			name, _ := os.ReadFile("/proc/" + text + "/comm")
			list = append(list, childProcess{pid, strings.TrimSpace(string(name))})
		}
	}
	return list
}

// tool returns the path of an outside program, or ends the test: as skipped, or
// as failed where the machine was said to have it.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	lacking(t, fmt.Sprintf("%s is not on PATH: install Debian's package (chromium, php-cli, nginx-light, curl, openssl, nodejs)", name))
	return ""
}

// lacking ends the test as skipped for that reason, or as failed where the machine
// was said to have everything.
func lacking(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("PEAL_E2E") == "require" {
		t.Fatal(reason + "; PEAL_E2E=require says that it must be here")
	}
	t.Skip(reason)
}
