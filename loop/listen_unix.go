package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Permissions say who may connect to a Unix socket. The zero value leaves both
// to the process: its umask and its group. The mode 0, for root alone, is
// fs.ModeSocket.
type Permissions struct {
	Mode  fs.FileMode // of the file, with fs.ModeSocket or without; a client needs the permission to write
	Group int         // number of the file's group; 0 or less to leave it
}

// MaxUnixPath is the longest path of a Unix socket in bytes (unix(7), sun_path
// with its closing zero).
const MaxUnixPath = 107

// ListenUnix opens a listener on the path of a Unix socket, or on an abstract
// name, which begins with @ and has no permissions. A socket file that nobody
// listens on any more is replaced; any other file is left alone. The caller
// closes the listener, which leaves the file.
//
// It changes the umask of the process for a moment: call it before anything
// else makes files.
func ListenUnix(path string, p Permissions) (*net.UnixListener, error) {
	abstract := strings.HasPrefix(path, "@")
	if !abstract {
		if err := removeDeadSocket(path); err != nil {
			return nil, err
		}
	}
	restricted := p != Permissions{} && !abstract
	var old int
	if restricted { // closed until it has its group and mode
		old = unix.Umask(0o177)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if restricted {
		unix.Umask(old)
	}
	if err != nil {
		return nil, unixReason(path, err)
	}
	ln.SetUnlinkOnClose(false)
	if restricted {
		if err := p.apply(path); err != nil {
			ln.Close()
			return nil, errors.Join(err, os.Remove(path))
		}
	}
	return ln, nil
}

func (p Permissions) apply(path string) error {
	if p.Group > 0 {
		if err := os.Lchown(path, -1, p.Group); err != nil {
			return fmt.Errorf("set the socket's group to number %d: %w (the server must run as root or be a member of the group)", p.Group, errors.Unwrap(err))
		}
	}
	if err := os.Chmod(path, p.Mode); err != nil {
		return fmt.Errorf("set the socket's mode: %w", err)
	}
	return nil
}

// removeDeadSocket removes the socket file that a server left behind which no
// longer listens.
func removeDeadSocket(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		defer c.Close()
		return fmt.Errorf("another server listens on it%s: end it, or choose another path", listenerOf(c))
	}
	info, e := os.Lstat(path)
	switch {
	case e != nil: // not there, or the attempt to listen says what is wrong
		return nil
	case info.Mode().Type() != os.ModeSocket: // it refuses connections, too
		return errors.New("a file that is not a socket has this path: choose another path, or remove the file")
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.EACCES):
		return errors.New("a socket of another user has this path, and this user may not connect to it: if no server listens on it, remove it")
	}
	return nil
}

// listenerOf is " (process N)" for who called listen(2) on the far end of c, ""
// where the kernel does not tell (unix(7), SO_PEERCRED).
func listenerOf(c net.Conn) (text string) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	_ = raw.Control(func(fd uintptr) { // an error leaves text empty
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && cred.Pid > 0 {
			text = fmt.Sprintf(" (process %d)", cred.Pid)
		}
	})
	return text
}

// unixReason says what to change where the kernel's word alone does not.
func unixReason(path string, err error) error {
	switch dir := filepath.Dir(path); {
	case len(path) > MaxUnixPath:
		return fmt.Errorf("the path has %d bytes, a Unix socket's at most %d", len(path), MaxUnixPath)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the directory %s does not exist: make it, or choose another path", dir)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("this user may not make files in the directory %s: change its owner, or choose another path", dir)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("the directory %s is read-only: choose another path", dir)
	}
	return err
}
