package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"peal/server/systemd"
	"peal/server/upgrade"
)

func TestReportOfAnUpgrade(t *testing.T) {
	var b bytes.Buffer
	printReport(&b, &upgrade.Report{
		Process: 20, Version: "v1.1.0", ProcessBefore: 10, VersionBefore: "v1.0.0", Connections: 18000,
		Stayed: map[string]int{"TLS": 3, "a session over plain HTTP": 2}, Pause: 212.345, Took: 1501.2,
	})
	const want = `upgraded     v1.0.0 (process 10) to v1.1.0 (process 20) in 1.5012s
connections  18000 handed over, which waited for 212.3ms
stayed       3: TLS; they come back by themselves
stayed       2: a session over plain HTTP; they come back by themselves
`
	if b.String() != want {
		t.Errorf("prints\n%swant\n%s", &b, want)
	}
}

// TestUpgradeIsImpossible: where the end of the old process ends the new one, too.
func TestUpgradeIsImpossible(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	told, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		parent   int
		first    string
		exec     int // SYSTEMD_EXEC_PID
		notifier *systemd.Notifier
		has      string // "": possible
	}{
		{parent: 4711, first: "systemd", notifier: &systemd.Notifier{}},
		{parent: 1, first: "systemd", notifier: told, exec: os.Getpid()},
		{parent: 1, first: "init", notifier: &systemd.Notifier{}},
		{parent: 4711, first: "bash", notifier: &systemd.Notifier{}},
		{parent: 1, first: "tini", notifier: &systemd.Notifier{}, has: "process 1 of this container (tini)"},
		{parent: 1, first: "sh", notifier: &systemd.Notifier{}, has: "replace the container"},
		{parent: 1, first: "systemd", notifier: &systemd.Notifier{}, exec: os.Getpid(), has: "no Type=notify"},
		{parent: 1, first: "systemd", notifier: &systemd.Notifier{}, exec: os.Getpid() + 1}, // of a process before
	} {
		t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(x.exec))
		u := &upgrader{parent: x.parent, first: x.first, service: &service{Notifier: x.notifier}}
		err := u.impossible()
		if x.has == "" && err != nil || x.has != "" && (err == nil || !strings.Contains(err.Error(), x.has)) {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

func TestStartErrorsSayWhatToChange(t *testing.T) {
	for _, x := range []struct {
		err error
		has string
	}{
		{unix.ENOENT, "is not there"}, {unix.EACCES, "may not execute"}, {unix.ENOEXEC, "no program for this machine"},
		{unix.ETXTBSY, "is being written"}, {errors.New("no room"), "start the new process: no room"},
	} {
		if got := startError("/usr/bin/peal", &os.PathError{Op: "fork/exec", Path: "/usr/bin/peal", Err: x.err}).Error(); !strings.Contains(got, x.has) && !strings.HasSuffix(got, "no room") {
			t.Errorf("%v: %s", x.err, got)
		}
	}
}

// TestSuccessorsOfAProcess: its children with the same arguments, and no others.
func TestSuccessorsOfAProcess(t *testing.T) {
	start := func(seconds string) int {
		c := exec.Command("sleep", seconds)
		if err := c.Start(); err != nil {
			t.Skip("no sleep here: ", err)
		}
		t.Cleanup(func() { c.Process.Kill(); c.Wait() })
		return c.Process.Pid
	}
	one, other := start("3600"), start("3601")
	if got := upgrade.Parent(one); got != os.Getpid() {
		t.Errorf("the parent of %d is %d, want %d", one, got, os.Getpid())
	}
	all := successors(os.Getpid(), -1, arguments(one))
	if _, ok := all[one]; !ok || len(all) != 1 {
		t.Errorf("successors %v, want %d and not %d", all, one, other)
	}
	if same, err := sameProgram(one); err != nil || same {
		t.Errorf("sleep is this program: %v, %v", same, err)
	}
	if same, err := sameProgram(os.Getpid()); err != nil || !same {
		t.Errorf("this process does not run this program: %v, %v", same, err)
	}
}

// TestReloadDuringAnUpgradeComesLater: it would be lost, because the new process has read the configuration.
func TestReloadDuringAnUpgradeComesLater(t *testing.T) {
	h := &hangup{}
	h.pause()
	if _, err := h.reload(t.Context()); !errors.Is(err, errUpgrading) {
		t.Errorf("a reload during an upgrade: %v", err)
	}
	if h.resume() {
		t.Error("a signal was missed, though none came")
	}
}
