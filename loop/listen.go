package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long sent bytes may stay unacknowledged before the kernel
// gives a connection up: the way a dead event-stream client is found.
const userTimeout = 60 * time.Second

// Listen opens a listening socket on a TCP address ("127.0.0.1:8080") or a Unix
// socket ("unix:/path") and returns its descriptor and the address it has.
func Listen(address string) (fd int, bound net.Addr, err error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
		if err := removeDeadSocket(path); err != nil {
			return -1, nil, err
		}
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return -1, nil, err
	}
	defer ln.Close()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return -1, nil, err
	}
	defer f.Close()
	if fd, err = Inherit(int(f.Fd())); err != nil {
		return -1, nil, err
	}
	return fd, ln.Addr(), nil
}

// removeDeadSocket removes the socket file that a server left behind which no
// longer listens.
func removeDeadSocket(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("another server listens on unix:%s", path)
	}
	// A file that is no socket refuses connections too.
	if info, e := os.Lstat(path); e == nil && info.Mode().Type() == os.ModeSocket && errors.Is(err, unix.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil // not there, or Listen says what is wrong
}

// Inherit takes a listening descriptor of the parent process, or of a listener
// of package net, for the Group: a copy of it, which the Group closes.
func Inherit(fd int) (int, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	if on, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		unix.Close(own)
		return -1, fmt.Errorf("inherit descriptor %d: not a listening socket", fd)
	}
	if err := unix.SetNonblock(own, true); err != nil {
		unix.Close(own)
		return -1, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	// Accepted sockets have these from their listener, without a call each. They
	// do not exist for Unix sockets, hence no error.
	unix.SetsockoptInt(own, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(own, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	unix.SetsockoptInt(own, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	return own, nil
}
