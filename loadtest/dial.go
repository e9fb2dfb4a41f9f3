package loadtest

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dialer connects from the local address source ("" for any) without reserving a
// port before the remote end is known, so that one address has all its ports for
// each server (IP_BIND_ADDRESS_NO_PORT). receiveBuffer is in bytes; 0 leaves it to
// the kernel.
func Dialer(source string, receiveBuffer int) *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	d.Control = func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			if source != "" {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
			if err == nil && receiveBuffer > 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		}); e != nil {
			return e
		}
		return err
	}
	return d
}

// dialTimeout bounds the opening of one TCP connection.
const dialTimeout = 20 * time.Second
