package endtoend_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeGivesTheNewProcessNothingElse: of the descriptors of a server with listeners, connections and a log, a new
// process inherits the link and the standard ones; its arguments are those of the old one, and its environment, too.
func TestUpgradeGivesTheNewProcessNothingElse(t *testing.T) {
	dir := t.TempDir()
	strange := filepath.Join(dir, "strange")
	if err := os.WriteFile(strange, []byte("#!/bin/sh\nls /proc/self/fd > \"$0.fds\"\nenv > \"$0.env\"\nprintf '%s\\n' \"$@\" > \"$0.args\"\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	passed, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	flags := []string{"serve", "--listen", "127.0.0.1:0", "--inherit", "3", "--admin", "unix:admin.sock", "--log", "file:log", "--access-log", "access.log"}
	cmd := exec.Command(pealBinary, flags...)
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{passed}
	cmd.Env = append(os.Environ(), "SECRET_OF_THE_TEST=42", "PEAL_TOKEN_SECRET=of-32-bytes-of-32-bytes-of-32-bytes")
	addr, _, _ := strings.Cut(upgradable(t, dir, cmd), ",")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peal := func(args ...string) (string, error) {
		cmd := exec.Command(pealBinary, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := peal("upgrade", "--admin", "unix:admin.sock", "--binary", strange)
	if err == nil || !strings.Contains(out, "not upgraded, the server goes on as it was") || !strings.Contains(out, "exit status 3") {
		t.Fatalf("%v, %s", err, out)
	}
	read := func(what string) []string {
		text, err := os.ReadFile(strange + "." + what)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	// The link, and what every child of this process has.
	every, err := exec.Command("sh", "-c", "ls /proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	if fds := read("fds"); len(fds) != len(strings.Fields(string(every)))+1 || !slices.Contains(fds, "3") {
		t.Errorf("the new process has the descriptors %v, and any other one %q", fds, every)
	}
	if got := read("args"); !slices.Equal(got, flags) {
		t.Errorf("arguments %q, want %q", got, flags)
	}
	env := read("env")
	for _, want := range []string{"SECRET_OF_THE_TEST=42", "PEAL_UPGRADE_FD=3"} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment lacks %s: %q", want, env)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "server.log"))
	if err != nil || strings.Contains(string(log), "of-32-bytes") || !strings.Contains(string(log), "not upgraded: this process goes on") {
		t.Errorf("%v: the log has %s", err, log)
	}

	// What the command says, and its exit codes.
	for _, x := range []struct {
		args []string
		code int
		has  string
	}{
		{[]string{"--admin", "unix:admin.sock", "--binary", filepath.Join(dir, "none")}, 1, "is not there: install the program at this path"},
		{[]string{"--admin", "unix:admin.sock", "--binary", filepath.Join(dir, "log")}, 1, "may not execute"},
		{[]string{"--admin", "unix:admin.sock", "--pid", "1"}, 2, "--pid sends a signal"},
		{[]string{"--admin", "unix:nobody.sock"}, 1, "is the server running, with --admin?"},
		{[]string{"--admin", "unix:admin.sock", "--json"}, 0, `"version":`},
		{[]string{"--pid", fmt.Sprint(cmd.Process.Pid)}, 1, "process"}, // it has handed over by the one before
	} {
		out, err := peal(append([]string{"upgrade"}, x.args...)...)
		code := 0
		if exit, ok := err.(*exec.ExitError); ok {
			code = exit.ExitCode()
		}
		if code != x.code || !strings.Contains(out, x.has) {
			t.Errorf("%q: exit code %d and %s, want %d and %s", x.args, code, out, x.code, x.has)
		}
	}
	// Every listener is there, also the one that was passed, whose number means nothing to the new process.
	process := servingProcess(filepath.Join(dir, "admin.sock"))
	if process == 0 || process == cmd.Process.Pid {
		t.Errorf("process %d serves after %d", process, cmd.Process.Pid)
	}
	for _, at := range []string{addr, ln.Addr().String()} {
		c, err := net.DialTimeout("tcp", at, patience)
		if err != nil {
			t.Error(err)
			continue
		}
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /channels HTTP/1.0\r\nHost: localhost\r\n\r\n")
		b := make([]byte, 15)
		if n, err := c.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") {
			t.Errorf("%s: %q, %v", at, b[:n], err)
		}
		c.Close()
	}
	// SIGUSR2 by the command, to the process that serves now.
	if out, err := peal("upgrade", "--pid", fmt.Sprint(process)); err != nil || !strings.Contains(out, "has handed over") {
		t.Errorf("%v, %s", err, out)
	}
	endProcess(t, process) // it has ended
}

// TestUpgradeVariableByAccident: a server that finds the variable, and no link of its parent, does not start, and says why.
func TestUpgradeVariableByAccident(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[0])
	datagrams := os.NewFile(uintptr(pair[1]), "")
	defer datagrams.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for value, has := range map[string]string{
		"yes": "only a server that is upgraded sets it", "1": "only a server that is upgraded sets it", "77": "is no link to another process",
		"3": "is no link to another process", "4": "is no link to another process",
	} {
		cmd := exec.Command(pealBinary, "serve", "--listen", "127.0.0.1:0")
		cmd.ExtraFiles = []*os.File{null, datagrams}
		cmd.Env = append(os.Environ(), "PEAL_UPGRADE_FD="+value)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), has) || !strings.Contains(string(out), "remove it from the environment") {
			t.Errorf("PEAL_UPGRADE_FD=%s: %v, %s", value, err, out)
		}
	}
}
