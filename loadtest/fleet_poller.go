package loadtest

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// wakeIndex marks the wake-up descriptor among a poller's events; the others
// have the numbers of connections.
const wakeIndex = -1

// newPoller returns an epoll descriptor and one, among its events, that wakeUp
// makes readable. The caller closes both.
func newPoller() (ep, wake int, err error) {
	if ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return 0, 0, fmt.Errorf("epoll: %w", err)
	}
	if wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(ep))
	}
	if err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeIndex}); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("epoll add: %w", err), unix.Close(wake), unix.Close(ep))
	}
	return ep, wake, nil
}

// wakeUp wakes the loop that polls wake. Any goroutine may call it.
func wakeUp(wake int) {
	if _, err := unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		panic("loadtest: eventfd: " + err.Error()) // its counter cannot be full
	}
}
