package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"peal/loop/fanout"
)

// The calls below are raw system calls on non-blocking descriptors: they return
// at once, so the scheduler need not know of them. BenchmarkSend compares
// sendto with unix.Write: the kernel's share hides the difference on loopback.

func sysRead(fd int32, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func sysSend(fd int32, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// sysAccept has the kernel write the peer's address into sa.
func sysAccept(fd int, sa *unix.RawSockaddrAny) (int, syscall.Errno) {
	sa.Addr.Family = unix.AF_UNSPEC
	size := uint32(unix.SizeofSockaddrAny)
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

func sysClose(fd int32) { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func shutdownWrite(fd int32) { syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// end is what the kernel knows of the end of a connection.
type end uint8

const (
	endNone end = iota
	endRead     // the peer has ended its side: behind what can be read nothing comes
	endBoth     // nothing can be sent either: reset, timed out, or closed on both sides
)

// endOf asks the kernel, since an event may be stale and belong to the
// connection that had the descriptor before.
func endOf(fd int32) end {
	p := []unix.PollFd{{Fd: fd, Events: unix.POLLRDHUP}}
	n, err := unix.Poll(p, 0)
	switch {
	case err != nil || n != 1:
		return endNone
	case p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
		return endBoth
	case p[0].Revents&unix.POLLRDHUP != 0:
		return endRead
	}
	return endNone
}

// sender sends with one call a connection. It implements fanout.Sender.
type sender struct {
	queue []outgoing
	calls uint64 // of sendto

	// How often the bytes of a send lay elsewhere than those of the send before:
	// once for a message that all members share, once for each of them if
	// somebody copies it on the way here. last keeps those bytes alive, so that
	// no others can come to lie there.
	buffers uint64
	last    *byte
}

type outgoing struct {
	ticket uint32
	socket int32
	b      []byte
}

var _ fanout.Sender = (*sender)(nil)

func (s *sender) Queue(ticket uint32, socket int32, b []byte) {
	s.queue = append(s.queue, outgoing{ticket, socket, b})
}

func (s *sender) Flush(report func(ticket uint32, n int, err error)) {
	for i := range s.queue {
		q := &s.queue[i]
		if p := unsafe.SliceData(q.b); p != s.last {
			s.buffers, s.last = s.buffers+1, p
		}
		n, err := s.Now(q.socket, q.b)
		q.b = nil
		report(q.ticket, n, err)
	}
	s.queue = s.queue[:0]
}

func (s *sender) Now(socket int32, b []byte) (int, error) {
	s.calls++
	n, e := sysSend(socket, b)
	switch e {
	case 0:
		return n, nil
	case unix.EAGAIN:
		return 0, nil
	case unix.ENOBUFS, unix.ENOMEM:
		return 0, nil // as full: the kernel says writable when it has memory again
	}
	return 0, e
}
