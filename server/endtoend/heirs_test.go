package endtoend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loadtest/child"
)

// heirs are the processes of a real program that is upgraded: one after another serves.
type heirs struct {
	*peal
	program, admin, said string // said: the file of what all of them write to stderr
	group                int    // of processes: all are in that of the first one
}

// launchHeirs runs a copy of the program, which may be replaced, with an admin listener.
func launchHeirs(t *testing.T, variables []string, flags ...string) *heirs {
	t.Helper()
	ports, err := child.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h := &heirs{program: filepath.Join(dir, "peal"), admin: child.Loopback(ports.Admin), said: filepath.Join(dir, "stderr")}
	h.install(t, pealBinary)
	said, err := os.Create(h.said)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	c := exec.Command(h.program, append([]string{"serve", "--listen", child.Loopback(ports.Port), "--admin", h.admin}, flags...)...)
	c.Env, c.Stderr = append(os.Environ(), variables...), said
	process, err := child.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	h.peal = newPeal(t, child.Loopback(ports.Port))
	h.process, h.group, h.stderr = process, process.PID, new(strings.Builder)
	h.stop = func() { // the group has all of them
		_, _ = h.process.Stop(syscall.SIGKILL, 0) // it may have ended
		h.client.CloseIdleConnections()
	}
	t.Cleanup(h.stop)
	h.await("the server accepts", func() bool {
		_, err := h.try("GET", "/healthz", "")
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
		return err == nil
	})
	return h
}

// install has the next process be another program: a rename, as package managers do it.
func (h *heirs) install(t *testing.T, program string) {
	t.Helper()
	text, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(h.program+".new", text, 0o700)
	}
	if err == nil {
		err = os.Rename(h.program+".new", h.program)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask runs peal upgrade, and returns what it writes.
func (h *heirs) ask() (said string, err error) {
	var both bytes.Buffer
	c := exec.Command(pealBinary, "upgrade", "--url", "http://"+h.admin+"/upgrade")
	c.Stdout, c.Stderr = &both, &both
	err = c.Run()
	return both.String(), err
}

// upgrade has another process go on, waits until the old one has ended, and follows the new one.
func (h *heirs) upgrade(t *testing.T) {
	t.Helper()
	if said, err := h.ask(); err != nil {
		t.Fatalf("peal upgrade: %v: %s%s", err, said, h.log())
	}
	h.follow(t)
}

// follow waits until the old process has ended, and finds the new one.
func (h *heirs) follow(t *testing.T) {
	t.Helper()
	old := h.process
	late := time.AfterFunc(patience, func() { _, _ = old.Stop(syscall.SIGKILL, 0) })
	defer late.Stop()
	if err := old.Exit(); err != nil {
		t.Fatalf("the old process ended with %v: %s", err, h.log())
	}
	for _, pid := range child.Children(os.Getpid()) { // TestMain inherits them
		if g, err := unix.Getpgid(pid); err != nil || g != h.group || pid == old.PID {
			continue
		}
		next, err := child.Follow(pid)
		if err != nil {
			t.Fatal(err)
		}
		h.process = next
		return
	}
	t.Fatalf("no process has taken over: %s", h.log())
}

// log is what the processes have written.
func (h *heirs) log() string {
	text, err := os.ReadFile(h.said)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// unharmed checks that no process has complained.
func (h *heirs) unharmed(t *testing.T) {
	t.Helper()
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", `"level":"ERROR"`, `"level":"WARN"`} {
		if said := h.log(); strings.Contains(said, bad) {
			t.Errorf("stderr has %q: %.4000s", bad, said)
			return
		}
	}
}
