package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Variable names the descriptor of the link in the environment of the new process.
const Variable = "PEAL_UPGRADE_FD"

// Pass has the process that c starts inherit its end of a Pair, and returns the variable that
// its environment needs.
func Pass(c *exec.Cmd, end *os.File) (variable string) {
	c.ExtraFiles = append(c.ExtraFiles, end)
	return Variable + "=" + strconv.Itoa(2+len(c.ExtraFiles))
}

// Inherited returns the link to the process that has started this one for an upgrade, nil if
// none has. It removes the variable: call it once, at the start. The variable alone does nothing: the
// descriptor must be one end of a pair of sockets that the parent process has made.
func Inherited() (*Link, error) {
	text := os.Getenv(Variable)
	os.Unsetenv(Variable)
	if text == "" {
		return nil, nil
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return nil, fmt.Errorf("%s is %q: only a server that is upgraded sets it, to the number of a descriptor; remove it from the environment", Variable, text)
	}
	if err := ofParent(fd); err != nil {
		return nil, fmt.Errorf("%s is %d: only a server that is upgraded sets it; remove it from the environment: %w", Variable, fd, err)
	}
	unix.CloseOnExec(fd)
	return NewLink(os.NewFile(uintptr(fd), Variable))
}

// ofParent checks that the process at the other end is the parent of this one, or has the same parent, and is of the
// same user.
func ofParent(fd int) error {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return fmt.Errorf("this descriptor is no link to another process: %w", err)
	}
	kind, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE) // 0 is none
	switch own := os.Getppid(); {
	case kind != unix.SOCK_STREAM:
		return errors.New("this descriptor is no link to another process")
	case int(peer.Uid) != os.Geteuid():
		return fmt.Errorf("the descriptor comes from a process of user %d, and this one is of user %d", peer.Uid, os.Geteuid())
	case int(peer.Pid) != own && Parent(int(peer.Pid)) != own:
		return fmt.Errorf("the descriptor comes from process %d, which has not started this one, or has ended", peer.Pid)
	}
	return nil
}

// Parent is the parent of a process, 0 if it is not known.
func Parent(process int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return 0
	}
	// The name of the program is in parentheses and may have any character.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1]) // of the kernel
	return parent
}

// Refuse tells the old process why this one does not take over. The link is of no use afterwards.
func (l *Link) Refuse(why error) { l.refuse(why) }

// AwaitEnd returns when the old process has closed its end, which it does when it needs nothing more of
// the new one, or when ctx ends. It closes the link.
func (l *Link) AwaitEnd(ctx context.Context) {
	defer l.Close()
	if l.limit(0) != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		f, err := l.receive()
		if err != nil {
			return
		}
		closeAll(f.descriptors)
	}
}
