package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"peal/server"
	"peal/server/logging"
	"peal/server/upgrade"
)

// begunLimit is how long the new process may take to say that it serves, behind the commit.
const begunLimit = 10 * time.Second

// endLimit is how long a new process that does not take over may take to end by itself.
const endLimit = 2 * time.Second

// upgrader starts the program that is at the place of this one now, and hands the server over to it.
type upgrader struct {
	// Fixed at the start, before anything takes variables away.
	program     string
	environment []string
	parent      int    // process
	first       string // name of process 1

	server  *server.Server
	log     *logging.Logger
	service *service
	hangup  *hangup

	mu sync.Mutex // held during an upgrade
}

// newUpgrader notes how this process was started.
func newUpgrader() *upgrader {
	own := func(variable string) bool { // it is about this process, and not the next one
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "LISTEN_") || name == "WATCHDOG_PID" || name == upgrade.Variable
	}
	first, _ := os.ReadFile("/proc/1/comm") // "": it is not known
	return &upgrader{
		program:     programPath(os.Args[0]),
		environment: slices.DeleteFunc(os.Environ(), own),
		parent:      os.Getppid(),
		first:       strings.TrimSpace(string(first)),
	}
}

// programPath is where this program was started, with its symbolic links: one of them may name another version later.
func programPath(called string) string {
	self, err := os.Executable()
	if err != nil {
		return called
	}
	path, err := exec.LookPath(called)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return self
	}
	running, err := os.Stat("/proc/self/exe")
	there, e := os.Stat(path)
	if err != nil || e != nil || !os.SameFile(running, there) {
		return self
	}
	return path
}

// impossible is why the process cannot hand over: the end of the old process must not end the new one.
func (u *upgrader) impossible() error {
	switch {
	case os.Getpid() == 1:
		return errors.New("this server is process 1 of a container, which ends with it: replace the container instead; its drain has the clients come back to the new one")
	case u.parent == 1 && u.first != "" && u.first != "systemd" && u.first != "init":
		return fmt.Errorf("process 1 of this container (%s) has started the server, and ends with it: replace the container instead; its drain has the clients come back to the new one", u.first)
	case os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) && !u.service.Listens():
		return errors.New("systemd ends the new process together with this one, because the unit has no Type=notify: set it, and restart the service once")
	}
	return nil
}

// run upgrades the server. A drain that begins before the commit ends the upgrade.
func (u *upgrader) run(ctx context.Context, order upgrade.Order) (report upgrade.Report, err error) {
	ending := ctx.Done()
	ctx = context.WithoutCancel(ctx) // for a drain see Server.Upgrade
	if !u.mu.TryLock() {
		return report, upgrade.ErrUnderWay
	}
	defer u.mu.Unlock()
	if u.server.HandedOver() {
		return report, errors.New("another process serves already, and this one ends: try again")
	}
	u.hangup.pause()
	var next *os.Process
	defer func() {
		if missed := u.hangup.resume(); missed && err != nil {
			_, _ = u.hangup.reload(ctx) // it is logged
		} else if missed {
			_ = next.Signal(unix.SIGHUP) // it may have ended
		}
	}()
	u.service.tell(u.service.Status("Upgrading"))
	report, next, err = u.start(ctx, order, ending)
	if err != nil {
		u.log.Error("not upgraded: this process goes on", "error", err)
		u.service.tell(u.service.Status(u.service.status))
		return report, err
	}
	u.log.Info("upgraded: the new process serves, this one ends", "process", report.Process, "version", report.Version,
		"connections", report.Connections, "stayed", report.Stayed, "pause_ms", report.Pause, "took_ms", report.Took)
	return report, nil
}

// barrierLimit is how long systemd may take to read which process is the service now.
const barrierLimit = 5 * time.Second

// start starts the new process and hands over to it. Behind an error the process has ended.
func (u *upgrader) start(ctx context.Context, order upgrade.Order, ending <-chan struct{}) (report upgrade.Report, process *os.Process, err error) {
	if err := u.impossible(); err != nil {
		return report, nil, err
	}
	program := cmp.Or(order.Binary, u.program)
	if !filepath.IsAbs(program) {
		return report, nil, fmt.Errorf("start %s: give an absolute path", program)
	}
	link, end, err := upgrade.Pair()
	if err != nil {
		return report, nil, err
	}
	defer link.Close()
	next := exec.Command(program, os.Args[1:]...)
	next.Env = append(slices.Clone(u.environment), upgrade.Pass(next, end))
	next.Stdin, next.Stdout, next.Stderr = os.Stdin, os.Stdout, os.Stderr
	if u.service.Listens() {
		// A child of systemd, as this process is: it does not wait for the end of a main process that is none.
		next.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}
	}
	began := time.Now()
	err = next.Start()
	end.Close()
	if err != nil {
		return report, nil, startError(program, err)
	}
	u.log.Info("upgrading: the new process has started", "program", program, "process", next.Process.Pid)
	ended := make(chan struct{})
	go func() { // ends with the new process, or this one
		defer close(ended)
		awaitEnd(next)
	}()
	config := u.hangup.settings().Config.WithDefaults()
	o, err := u.server.Upgrade(ctx, link, upgrade.Limits{Ready: config.UpgradeTimeout, Frozen: config.UpgradePause, Begun: begunLimit})
	if !o.Committed {
		link.Close()
		select {
		case <-ended:
		case <-time.After(endLimit):
			_ = next.Process.Kill() // it may have ended
			<-ended
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			how := "ended"
			if next.ProcessState != nil {
				how += " (" + next.ProcessState.String() + ")"
			}
			err = fmt.Errorf("the new process (%s) %s without a word to this one; it may have written why to standard error, where the log is", program, how)
		}
		return report, nil, err
	}
	if !o.Begun {
		u.log.Warn("the new process has not said that it serves", "process", next.Process.Pid, "limit", begunLimit)
	}
	// The new process reports nothing to systemd until the link is closed: systemd would not listen to it.
	u.service.tell(u.service.Main(next.Process.Pid))
	u.service.tell(u.service.Barrier(barrierLimit))
	select {
	case <-ending:
		if u.service.Listens() { // a unit that is being stopped has no other main process: it ends with this one
			<-ended
		}
	default:
	}
	return upgrade.Report{
		Process: next.Process.Pid, Version: o.Version, ProcessBefore: os.Getpid(), VersionBefore: config.Version,
		Connections: o.Connections, Stayed: o.Stayed,
		Pause: milliseconds(max(o.Frozen, o.Paused)), Took: milliseconds(time.Since(began)),
	}, next.Process, nil
}

// awaitEnd returns when a process has ended, which may be the child of another one.
func awaitEnd(c *exec.Cmd) {
	handle, err := unix.PidfdOpen(c.Process.Pid, 0)
	if err == nil {
		defer unix.Close(handle)
		for {
			if _, err = unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				break
			}
		}
	}
	_ = c.Wait() // ProcessState has it, if it is a child of this one
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// startError says what to change.
func startError(program string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there: install the program at this path", program)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this server may not execute %s: chmod 755, and no noexec for its file system", program)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%s is no program for this machine: install the one for its architecture", program)
	case errors.Is(err, unix.ETXTBSY):
		return fmt.Errorf("%s is being written: install it by renaming a complete file (install, mv), and try again", program)
	}
	return fmt.Errorf("start the new process: %w", err)
}

// wait returns when no upgrade is under way.
func (u *upgrader) wait() {
	u.mu.Lock()
	defer u.mu.Unlock()
}
