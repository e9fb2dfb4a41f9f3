package systemd

import (
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier sends the state of the server to systemd. Outside systemd it sends nothing.
type Notifier struct{ address string }

// sendLimit is how long one report may wait for room in the socket.
const sendLimit = time.Second

// NewNotifier returns a Notifier for the socket that systemd passed.
func NewNotifier() (*Notifier, error) {
	n := &Notifier{take("NOTIFY_SOCKET")}
	if n.address != "" && n.address[0] != '/' && n.address[0] != '@' {
		return &Notifier{}, fmt.Errorf("NOTIFY_SOCKET is %q: must be the path of a Unix socket or an abstract name", n.address)
	}
	return n, nil
}

// Ready reports that the server serves, for the first time or after Reloading.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", line(status)) }

// Reloading reports that the server reads its configuration again; Ready must follow.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping reports that the server has begun to end, and how long that takes at most.
func (n *Notifier) Stopping(status string, limit time.Duration) error {
	return n.send("STOPPING=1", line(status), fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", limit.Microseconds()))
}

// Main reports that another process is the service from now on, which reports itself that it is
// ready.
func (n *Notifier) Main(process int) error { return n.send(fmt.Sprintf("MAINPID=%d", process)) }

// Status has systemctl status show a line.
func (n *Notifier) Status(status string) error { return n.send(line(status)) }

// Barrier returns when systemd has read all reports before it, or after limit: the sender of a report must live
// until then. systemd before version 246 does not know it, and closes the descriptor as well.
func (n *Notifier) Barrier(limit time.Duration) error {
	if n.address == "" {
		return nil
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer unix.Close(ends[0])
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Sendmsg(socket, []byte("BARRIER=1"), unix.UnixRights(ends[1]), &unix.SockaddrUnix{Name: n.address}, unix.MSG_NOSIGNAL)
		unix.Close(socket)
	}
	unix.Close(ends[1])
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	for until := time.Now().Add(limit); ; {
		wait := []unix.PollFd{{Fd: int32(ends[0])}} // the other end is closed
		n, err := unix.Poll(wait, int(max(0, time.Until(until).Milliseconds())))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("notify systemd: %w", err)
		case n == 0:
			return fmt.Errorf("notify systemd: reports were not read within %v", limit)
		default:
			return nil
		}
	}
}

// Listens reports whether there is a systemd that wants reports.
func (n *Notifier) Listens() bool { return n.address != "" }

// line is the line for the users of systemctl status.
func line(status string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' ' // a line end would begin another assignment
		}
		return r
	}, status)
}

func (n *Notifier) send(lines ...string) error {
	if n.address == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
