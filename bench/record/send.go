package record

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// bareSends is the number of connections: enough that the caches are as cold as in
// a fan-out.
const bareSends = 2_000

// BareSend measures the cost of one small send on this machine's loopback, without
// a server and with no concurrent reader: the CPU time of a thread that sends 130
// bytes to each of many connections, the best of several rounds.
//
// It serves to compare machines, and quiet hours with busy ones. It is not a lower
// bound: a broadcaster whose receivers read on another core at the same time took
// 5.7 µs per delivery when this measured 6.8.
func BareSend() (cost time.Duration, err error) {
	// The thread's CPU clock must count only this goroutine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		if err != nil {
			err = fmt.Errorf("measure a bare send: %w", err)
		}
	}()
	senders, receivers, done, err := connections(bareSends)
	defer done()
	if err != nil {
		return 0, err
	}
	message, buffer := make([]byte, 130), make([]byte, 4096)
	for range 8 {
		before := threadCPU()
		for _, fd := range senders {
			if _, err := unix.Write(fd, message); err != nil {
				return 0, err
			}
		}
		took := (threadCPU() - before) / bareSends
		if cost == 0 || took < cost {
			cost = took
		}
		for _, fd := range receivers {
			if _, err := unix.Read(fd, buffer); err != nil {
				return 0, err
			}
		}
	}
	return cost, nil
}

// connections opens n connections on the loopback. done closes all of them.
func connections(n int) (senders, receivers []int, done func(), err error) {
	var open []int
	done = func() {
		for _, fd := range open {
			unix.Close(fd)
		}
	}
	keep := func(fd int, failed error) int {
		if err = errors.Join(err, failed); failed == nil {
			open = append(open, fd)
		}
		return fd
	}
	socket := func() int { return keep(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)) }
	listener := socket()
	bind := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	addr, named := unix.Getsockname(listener)
	err = errors.Join(err, bind, unix.Listen(listener, 16), named)
	for i := 0; i < n && err == nil; i++ {
		receivers = append(receivers, socket())
		if err = errors.Join(err, unix.Connect(receivers[i], addr)); err != nil {
			break // accept would wait forever
		}
		sender, _, failed := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		senders = append(senders, keep(sender, failed))
		_ = unix.SetsockoptInt(sender, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // nothing is unacknowledged anyway
	}
	return senders, receivers, done, err
}

func threadCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic("record: CLOCK_THREAD_CPUTIME_ID: " + err.Error()) // exists on every Linux
	}
	return time.Duration(ts.Nano())
}
