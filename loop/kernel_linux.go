package loop

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

// linux is the Kernel of servers: gnet's epoll loop, and raw system calls on
// non-blocking descriptors, which return at once, so that the scheduler need not
// know of them. BenchmarkSend compares sendto with unix.Write: the kernel's share
// hides the difference on loopback.
//
// gnet's poller waits, runs tasks, and tells of turns and ticks. It tells its events one at a
// time and not which is the last of those that it has found. So sockets are in an epoll set of
// their own, which is one descriptor to gnet's poller: when that has something to tell, a second
// epoll_wait, which never blocks, takes a batch of events, and its end is Handler.Polled.
type linux struct {
	handler Handler
	poller  *netpoll.Poller
	sockets int // epoll: all that were added
	events  [pollEvents]unix.EpollEvent
	yield   int                 // eventfd: a turn is due
	timer   int                 // timerfd: a tick
	spare   int                 // descriptor in reserve, -1 for none
	from    unix.RawSockaddrAny // scratch: who the last socket accepted came from
	started time.Time
}

// pollEvents is the most events of one batch. A connection sends up to a buffer full in one.
const pollEvents = 256

// OpenMachine opens a kernel of this machine.
func OpenMachine(_ int, h Handler) (Kernel, error) {
	k := &linux{handler: h, sockets: -1, yield: -1, timer: -1, spare: -1, started: time.Now()}
	var err error
	if k.poller, err = netpoll.OpenPoller(); err != nil {
		return nil, fmt.Errorf("open poller: %w", err)
	}
	if err = k.openOwn(); err != nil {
		_ = k.Close() // the first error says what is wrong
		return nil, err
	}
	return k, nil
}

func (k *linux) openOwn() (err error) {
	if k.yield, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if k.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	if k.sockets, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, fd := range []int{k.yield, k.timer, k.sockets} {
		// The poller reports the sockets' set while it has events: what one batch leaves, the next takes.
		if err := k.poller.AddRead(&netpoll.PollAttachment{FD: fd}, fd != k.sockets); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
	}
	return nil
}

func (k *linux) Close() error {
	k.Spare(false)
	for _, fd := range []int{k.sockets, k.yield, k.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	return k.poller.Close()
}

// errStop ends Polling.
var errStop = errors.ErrEngineShutdown

func (k *linux) Run() error {
	err := k.poller.Polling(func(fd int, _ netpoll.IOEvent, _ netpoll.IOFlags) error {
		switch fd {
		case k.sockets:
			return k.tell()
		case k.yield:
			k.handler.Turn()
		case k.timer:
			var expired [8]byte
			_, _ = k.Read(int32(k.timer), expired[:]) // how often does not matter
			k.handler.Tick()
		}
		return nil
	})
	if err == nil || err == errStop {
		return nil
	}
	return err
}

// tell is one batch of the sockets' events.
func (k *linux) tell() error {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(k.sockets), uintptr(unsafe.Pointer(&k.events)), pollEvents, 0, 0, 0)
	switch {
	case e == unix.EINTR:
		return nil // the poller reports it again
	case e != 0:
		return fmt.Errorf("epoll_pwait: %w", e)
	case n == 0:
		return nil // the last that was ready has been closed
	}
	for i := range k.events[:n] {
		k.handler.Ready(k.events[i].Fd, eventsOf(k.events[i].Events))
	}
	k.handler.Polled()
	return nil
}

// eventsOf translates epoll's bits.
func eventsOf(e uint32) (out Events) {
	const broken = unix.EPOLLERR | unix.EPOLLHUP
	if e&unix.EPOLLOUT != 0 {
		out = Writable
	}
	if e&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|broken) != 0 {
		out |= Readable
	}
	if e&(unix.EPOLLRDHUP|broken) != 0 {
		out |= NearEnd
	}
	if e&broken != 0 {
		out |= Broken
	}
	return out
}

func (k *linux) Stop() {
	_ = k.poller.Trigger(queue.HighPriority, func(any) error { return errStop }, nil) // cannot fail: see Yield
}

func (k *linux) Trigger(task func()) {
	_ = k.poller.Trigger(queue.HighPriority, runTask, task) // likewise
}

// runTask is one function for all tasks, so that Trigger makes no closure.
func runTask(task any) error {
	task.(func())()
	return nil
}

// Yield has the poller report the descriptor after the events that are ready now; a
// task triggered from a task would starve them.
func (k *linux) Yield() {
	one := [8]byte{1}
	_, _ = unix.Write(k.yield, one[:]) // cannot fail: its counter has room for 2^64 of them
}

func (k *linux) Tick(every time.Duration) {
	t := unix.NsecToTimespec(int64(every))
	_ = unix.TimerfdSettime(k.timer, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil) // cannot fail: fixed arguments
}

func (k *linux) Add(socket int32) error {
	e := unix.EpollEvent{Fd: socket, Events: netpoll.ReadWriteEvents | unix.EPOLLRDHUP | unix.EPOLLET}
	return unix.EpollCtl(k.sockets, unix.EPOLL_CTL_ADD, int(socket), &e)
}

func (k *linux) Accept(listener int32) (Arrival, error) {
	for {
		k.from.Addr.Family = unix.AF_UNSPEC
		size := uint32(unix.SizeofSockaddrAny)
		n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&k.from)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch e {
		case 0:
			return Arrival{Socket: int32(n), Peer: addrPortOf(&k.from)}, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return Arrival{}, ErrAgain
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			return Arrival{}, fmt.Errorf("%w: %w", ErrExhausted, e)
		case unix.EBADF, unix.EINVAL:
			return Arrival{}, ErrNotListening
		}
		return Arrival{}, e
	}
}

// addrPortOf reads the socket address that accept4 has filled in. The zone of a
// link-local IPv6 address is left out.
func addrPortOf(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(&in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr), networkOrder(&in.Port))
	}
	return netip.AddrPort{}
}

func networkOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

func (k *linux) Read(socket int32, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(socket), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case e == 0 && n == 0:
			return 0, io.EOF
		case e == 0:
			return int(n), nil
		case e == unix.EAGAIN:
			return 0, ErrAgain
		case e != unix.EINTR:
			return 0, e
		}
	}
}

func (k *linux) Send(socket int32, b []byte) (n int, full bool, err error) {
	for {
		sent, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(socket), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			return int(sent), int(sent) < len(b), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			return 0, true, nil // of memory as of room: the kernel says writable when it has some again
		}
		return 0, false, e
	}
}

func (k *linux) Shutdown(socket int32) {
	syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(socket), unix.SHUT_WR, 0)
}

func (k *linux) CloseSocket(socket int32) {
	syscall.RawSyscall(unix.SYS_CLOSE, uintptr(socket), 0, 0)
}

func (k *linux) Copy(socket int32) (int32, error) {
	fd, err := unix.FcntlInt(uintptr(socket), unix.F_DUPFD_CLOEXEC, 0)
	return int32(fd), err
}

func (k *linux) CloseCopy(fd int32) { unix.Close(int(fd)) }

func (k *linux) EndOf(socket int32) End {
	p := []unix.PollFd{{Fd: socket, Events: unix.POLLRDHUP}}
	n, err := unix.Poll(p, 0)
	switch {
	case err != nil || n != 1:
		return EndNone
	case p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
		return EndBoth
	case p[0].Revents&unix.POLLRDHUP != 0:
		return EndRead
	}
	return EndNone
}

func (k *linux) Spare(keep bool) bool {
	switch {
	case keep && k.spare < 0:
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			k.spare = fd
		}
	case !keep && k.spare >= 0:
		unix.Close(k.spare)
		k.spare = -1
	}
	return k.spare >= 0
}

func (k *linux) Now() time.Duration { return time.Since(k.started) }

func (k *linux) After(d time.Duration, f func()) { time.AfterFunc(d, f) }

func (k *linux) Random(n int64) int64 { return rand.Int64N(n) }

// DescriptorLimit is how many descriptors this process may have open.
func DescriptorLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<30))
}
