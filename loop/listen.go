package loop

import (
	"context"
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
	ln, err := Open(address, Permissions{})
	if err != nil {
		return -1, nil, err
	}
	defer ln.Close()
	return Take(ln)
}

// Open opens a listener on an address as Listen takes it. The permissions are
// those of a Unix socket. The caller closes it.
func Open(address string, p Permissions) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		ln, err := ListenUnix(path, p)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return ln, nil
	}
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

// Take returns a descriptor of a listener of package net for the Group, which
// closes it, and the listener's address. The caller closes the listener itself.
func Take(ln net.Listener) (fd int, bound net.Addr, err error) {
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

// Address is the address that a listening descriptor is bound to, nil if it is
// neither TCP's nor a Unix socket's.
func Address(fd int) net.Addr {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return nil
}

// Inherit takes a listening descriptor of the parent process, or of a listener
// of package net, for the Group: a copy of it, which the Group closes.
func Inherit(fd int) (int, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("inherit descriptor %d: %w: the parent process did not pass it (the first one that it can pass is 3)", fd, err)
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
