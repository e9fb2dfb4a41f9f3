package child

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Children are the processes that a process has started and that it, or nobody yet, has
// waited for. It is empty if there is no such process.
func Children(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread that has ended has none
		for one := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(one); err == nil && !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// Running reports whether there is a process pid that has not ended.
func Running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(text), ") ") // the name before may have any other characters
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// Follow returns the Process of one that a child has started, of the same process group:
// it goes on when the child ends, and when this program is killed. Exit and its CPU time are
// known if this program is its nearest Reaper then, or else Exit is nil.
func Follow(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow process %d: %w", pid, err)
	}
	group, err := unix.Getpgid(pid)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("follow process %d: %w", pid, err)
	}
	p := &Process{PID: pid, group: group, ended: make(chan struct{})}
	go p.follow(os.NewFile(uintptr(fd), "pidfd")) // ends with the process
	return p, nil
}

// Reaper has the processes become this program's children whose parents have ended: what
// they have used is known then.
func Reaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

func (p *Process) follow(pidfd *os.File) {
	defer close(p.ended)
	defer pidfd.Close()
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(poll, -1); n > 0 || err != unix.EINTR {
			break
		}
	}
	var status unix.WaitStatus
	var used unix.Rusage
	for {
		n, err := unix.Wait4(p.PID, &status, unix.WNOHANG, &used)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n != p.PID: // another's child
			return
		}
		break
	}
	p.cpu = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	switch {
	case status.Signaled():
		p.exit = fmt.Errorf("signal: %v", status.Signal())
	case status.ExitStatus() != 0:
		p.exit = errors.New("exit status " + strconv.Itoa(status.ExitStatus()))
	}
}
