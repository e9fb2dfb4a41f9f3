package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"peal/loadtest/child"
)

// network makes two network namespaces, joined by a cable: each is a machine of its
// own, as far as TCP can tell. It skips where that is not permitted.
func network(t *testing.T) (server, agent string) {
	t.Helper()
	name := fmt.Sprintf("peal%d", os.Getpid())
	server, agent = name+"s", name+"a"
	for _, line := range []string{
		"netns add " + server, "netns add " + agent,
		"link add " + name + "0 netns " + server + " type veth peer name " + name + "1 netns " + agent,
		"-n " + server + " addr add 198.51.100.1/30 dev " + name + "0", "-n " + agent + " addr add 198.51.100.2/30 dev " + name + "1",
		"-n " + server + " link set " + name + "0 up", "-n " + agent + " link set " + name + "1 up", "-n " + server + " link set lo up",
	} {
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if fields := strings.Fields(line); err == nil && fields[0] == "netns" {
			t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", fields[2]).Run() })
		}
		if err != nil {
			t.Skipf("no network namespaces can be made here: ip %s: %v: %s", line, err, out)
		}
	}
	return server, agent
}

// within is peal in a network namespace.
func within(namespace string, args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", namespace, os.Args[0]}, args...)...)
	c.Env = append(os.Environ(), pealEnv+"=1", "GORACE=atexit_sleep_ms=0")
	return c
}

// startWithin starts peal in a namespace, until the test ends, and returns when it
// says that it listens.
func startWithin(t *testing.T, namespace string, args ...string) {
	t.Helper()
	c := within(namespace, args...)
	in, out := io.Pipe()
	c.Stdout, c.Stderr = out, out
	p, err := child.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Stop(syscall.SIGKILL, 0) }) // it may have ended
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listens on") {
			go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the program
			return
		}
	}
	t.Fatalf("peal %q does not listen", args)
}

// TestLoadFromAnotherMachine has the subscribers of one machine at an agent on another.
func TestLoadFromAnotherMachine(t *testing.T) {
	server, agent := network(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a token of the test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startWithin(t, server, "serve", "--listen", "198.51.100.1:8080", "--open", "--loops", "1")
	startWithin(t, agent, "load", "agent", "--listen", "198.51.100.2:7070", "--agent-token-file", token)
	out, err := within(server, append([]string{"load", "fanout", "--target", "ws://198.51.100.1:8080/ws?channel=a", "--agent", "198.51.100.2:7070", "--agent-token-file", token,
		"--connections", "30", "--rate", "100", "--duration", "500ms", "--idle", "0", "--fail-if", "lost>0", "--fail-if", "errors>0", "--json", "-"}, anyMachine...)...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`"agent": "198.51.100.2:7070"`, `"uncertainty_ms"`, `"opened": 30`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in the report:\n%.2000s", want, out)
		}
	}
	if strings.Contains(string(out), "a token of the test") {
		t.Error("the token is in the report")
	}
}

func TestAgentNeedsATokenWhereOthersReachIt(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, "needs --agent-token-file"},
		{[]string{"--listen", "localhost"}, "--listen"},
		{[]string{"--agent-token-file", empty}, "is empty"},
		{[]string{"--agent-token-file", "/no/such/file"}, "no such file"},
	} {
		code, _, said := called(t, append([]string{"load", "agent"}, c.args...)...)
		if code != 2 || !strings.Contains(said, c.says) {
			t.Errorf("peal load agent %q: exit code %d, %s; want 2 and %q", c.args, code, said, c.says)
		}
	}
}
