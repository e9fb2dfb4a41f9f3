package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gathering is the Kernel of servers with io-uring: SendAll hands its sends to the kernel
// with one system call. They neither wait (MSG_DONTWAIT) nor are they handed to another thread, so all
// are done when the call returns, and no bytes must be kept.
type gathering struct {
	*linux
	ring *uring
}

var _ Gatherer = (*gathering)(nil)

// OpenGathering is OpenMachine with SendAll. Where the system does not allow io_uring, as in
// most containers, it is OpenMachine, and log says so once.
func OpenGathering(log *slog.Logger) OpenKernel { return openGathering(log, openRing) }

func openGathering(log *slog.Logger, open func() (*uring, error)) OpenKernel {
	var once sync.Once
	return func(number int, h Handler) (Kernel, error) {
		k, err := OpenMachine(number, h)
		if err != nil {
			return nil, err
		}
		ring, err := open()
		if err != nil {
			once.Do(func() {
				log.Warn("io-uring: the system does not allow it, so each send is a system call of its own; allow io_uring_setup and io_uring_enter (kernel.io_uring_disabled, seccomp profile of the container), or set io-uring to false", "error", err)
			})
			return k, nil
		}
		return &gathering{k.(*linux), ring}, nil
	}
}

func (k *gathering) Close() error {
	k.ring.close()
	return k.linux.Close()
}

// SendAll submits the sends. What the kernel does not take of them, Send sends.
func (k *gathering) SendAll(sends []Sending) {
	done := k.ring.send(sends)
	for i := range sends {
		if s := &sends[i]; s.Err == nil && !done[i] {
			s.N, s.Full, s.Err = k.Send(s.Socket, s.B)
		}
	}
}

// uring is an io_uring that only sends. The structures are those of linux/io_uring.h.
type uring struct {
	fd         int
	submission []byte // mapped, as the next two
	completion []byte
	entries    []byte

	submitHead *uint32 // moved by the kernel
	submitTail *uint32
	submitMask uint32
	doneHead   *uint32
	doneTail   *uint32 // moved by the kernel
	doneMask   uint32
	sqes       []uringSQE
	cqes       []uringCQE

	done [gathered]bool // by the last send

	// enter submits n entries and waits for so many completions.
	enter func(fd, n, wait int) (submitted int, err syscall.Errno)
}

type uringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

type uringSQE struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset, addr  uint64
	len, msgFlags uint32
	data          uint64
	_             [3]uint64
}

type uringCQE struct {
	data   uint64
	result int32
	flags  uint32
}

const (
	uringOpSend     = 26
	uringGetEvents  = 1
	uringOffDone    = 0x8000000
	uringOffEntries = 0x10000000
)

// openRing makes a ring and tests it.
func openRing() (*uring, error) {
	u := &uring{fd: -1, enter: enterRing}
	err := u.open()
	if err == nil {
		err = u.try()
	}
	if err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

func (u *uring) open() (err error) {
	var p uringParams
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, gathered, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return fmt.Errorf("io_uring_setup: %w", e)
	}
	u.fd = int(fd)
	const protect, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if u.submission, err = unix.Mmap(u.fd, 0, int(p.sq.array+4*p.sqEntries), protect, flags); err != nil {
		return fmt.Errorf("map the submissions of io_uring: %w", err)
	}
	if u.completion, err = unix.Mmap(u.fd, uringOffDone, int(p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(uringCQE{}))), protect, flags); err != nil {
		return fmt.Errorf("map the completions of io_uring: %w", err)
	}
	if u.entries, err = unix.Mmap(u.fd, uringOffEntries, int(p.sqEntries)*int(unsafe.Sizeof(uringSQE{})), protect, flags); err != nil {
		return fmt.Errorf("map the entries of io_uring: %w", err)
	}
	at := func(m []byte, offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&m[offset])) }
	u.submitHead, u.submitTail, u.submitMask = at(u.submission, p.sq.head), at(u.submission, p.sq.tail), *at(u.submission, p.sq.mask)
	u.doneHead, u.doneTail, u.doneMask = at(u.completion, p.cq.head), at(u.completion, p.cq.tail), *at(u.completion, p.cq.mask)
	u.sqes = unsafe.Slice((*uringSQE)(unsafe.Pointer(&u.entries[0])), p.sqEntries)
	u.cqes = unsafe.Slice((*uringCQE)(unsafe.Pointer(&u.completion[p.cq.cqes])), p.cqEntries)
	order := unsafe.Slice(at(u.submission, p.sq.array), p.sqEntries)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

func (u *uring) close() {
	for _, m := range [][]byte{u.submission, u.completion, u.entries} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	if u.fd >= 0 {
		unix.Close(u.fd)
	}
}

// enterRing does not let the scheduler know unless it waits, as Send.
func enterRing(fd, n, wait int) (int, syscall.Errno) {
	if wait > 0 {
		r, _, e := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(n), uintptr(wait), uringGetEvents, 0, 0)
		return int(r), e
	}
	r, _, e := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(n), 0, 0, 0, 0)
	return int(r), e
}

// send submits the sends without an Err, and reports which of them were made.
func (u *uring) send(sends []Sending) *[gathered]bool {
	u.done = [gathered]bool{}
	tail, n := *u.submitTail, 0
	for i := range sends {
		if s := &sends[i]; s.Err == nil {
			u.sqes[(tail+uint32(n))&u.submitMask] = uringSQE{opcode: uringOpSend, fd: s.Socket,
				addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.B)))), len: uint32(len(s.B)),
				msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, data: uint64(i)}
			n++
		}
	}
	if n == 0 {
		return &u.done
	}
	atomic.StoreUint32(u.submitTail, tail+uint32(n))
	_, _ = u.enter(u.fd, n, 0) // what became of it is in the heads and tails
	taken := atomic.LoadUint32(u.submitHead) - tail
	if taken < uint32(n) { // EAGAIN, EINTR, and in some kernels after one that failed
		atomic.StoreUint32(u.submitTail, tail+taken)
	}
	u.await(sends, int(taken))
	runtime.KeepAlive(sends)
	return &u.done
}

// await takes so many completions. All are there, because no send waits; see try.
func (u *uring) await(sends []Sending, n int) {
	for {
		head, tail := *u.doneHead, atomic.LoadUint32(u.doneTail)
		for ; head != tail; head++ {
			c := u.cqes[head&u.doneMask]
			sends[c.data].N, sends[c.data].Full, sends[c.data].Err = sent(c.result, len(sends[c.data].B))
			u.done[c.data] = true
			n--
		}
		atomic.StoreUint32(u.doneHead, head)
		if n <= 0 {
			return
		}
		if _, e := u.enter(u.fd, 0, n); e != 0 && e != unix.EINTR {
			panic("io_uring_enter: " + e.Error()) // the kernel may still read the bytes
		}
	}
}

// sent translates the result of a send as Send does.
func sent(result int32, size int) (n int, full bool, err error) {
	switch e := syscall.Errno(-result); {
	case result >= 0:
		return int(result), int(result) < size, nil
	case e == unix.EAGAIN || e == unix.ENOBUFS || e == unix.ENOMEM:
		return 0, true, nil
	default:
		return 0, false, e
	}
}

// errWaits: this kernel has sends wait for room though they must not.
var errWaits = errors.New("sends of io_uring wait in this kernel: it is too old")

// try fills a socket: the ring must say at once that it is full.
func (u *uring) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	enter, waited := u.enter, false
	u.enter = func(fd, n, wait int) (int, syscall.Errno) {
		if wait > 0 && !waited {
			waited = true
			unix.Shutdown(pair[0], unix.SHUT_RDWR) // ends the send that waits
		}
		return enter(fd, n, wait)
	}
	defer func() { u.enter = enter }()
	b := make([]byte, 64<<10)
	for range 1 << 10 { // 64 MiB: more than a socket holds
		sends := [1]Sending{{Socket: int32(pair[0]), B: b}}
		done := u.send(sends[:])
		switch s := &sends[0]; {
		case waited:
			return errWaits
		case !done[0]:
			return errors.New("io_uring_enter takes no send")
		case s.Err != nil:
			return fmt.Errorf("send with io_uring: %w", s.Err)
		case s.N == 0:
			return nil // full, and it did not wait
		}
	}
	return errors.New("a socket took 64 MiB that nobody has read")
}
