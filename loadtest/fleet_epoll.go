package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// epollKind plays the subscribers on one goroutine and raw epoll. It exists
// because client and server share the cores: it costs a third of what a
// goroutine per connection does, so the server gets more of them.
//
// All fields belong to the goroutine of loop; open and close only start and
// end it.
type epollKind struct {
	spec   *Spec
	sink   *sink
	remote unix.SockaddrInet4
	local  *unix.SockaddrInet4

	ep, wake int
	conns    []leanConn
	requests [][]byte // the preliminary ones, ready to send
	buffer   []byte   // one read; before it, what the connection kept from the last

	scratch  []byte // one request
	samePath string // see pollPath

	next     int // connection to open next
	opening  int // under way
	opened   Opened
	deadline time.Time

	result chan Opened   // one value, when opening is over
	stop   chan struct{} // closed by close
	ended  chan struct{} // closed by loop
}

// wakeIndex marks the wake-up descriptor among the events.
const wakeIndex = -1

const (
	readBytes    = 256 << 10
	partialLimit = 4 << 20 // of one message or answer
)

func newEpollKind(spec *Spec, sink *sink) (*epollKind, error) {
	addr, err := netip.ParseAddrPort(spec.Addr)
	if err != nil || !addr.Addr().Is4() {
		return nil, fmt.Errorf("address %q: must be an IPv4 address and a port", spec.Addr)
	}
	k := &epollKind{
		spec:   spec,
		sink:   sink,
		remote: unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())},
		conns:  make([]leanConn, spec.Connections+spec.Stalled),
		buffer: make([]byte, readBytes+partialLimit),
		result: make(chan Opened, 1),
		stop:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	if spec.Source != "" {
		source, err := netip.ParseAddr(spec.Source)
		if err != nil || !source.Is4() {
			return nil, fmt.Errorf("source %q: must be an IPv4 address", spec.Source)
		}
		k.local = &unix.SockaddrInet4{Addr: source.As4()}
	}
	for _, path := range spec.Requests {
		k.requests = append(k.requests, appendGet(nil, path, spec.Addr))
	}
	if k.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if k.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(k.ep))
	}
	if err := unix.EpollCtl(k.ep, unix.EPOLL_CTL_ADD, k.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeIndex}); err != nil {
		return nil, fmt.Errorf("epoll add: %w", err)
	}
	go k.loop()
	return k, nil
}

func (k *epollKind) open(ctx context.Context) Opened {
	select {
	case o := <-k.result:
		return o
	case <-ctx.Done():
		return Opened{Failed: k.spec.Connections, FirstError: ctx.Err().Error()}
	}
}

func (k *epollKind) close() {
	close(k.stop)
	if _, err := unix.Write(k.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		panic("loadtest: eventfd: " + err.Error()) // its counter cannot be full
	}
	<-k.ended
}

// loop ends when stop is closed.
func (k *epollKind) loop() {
	defer close(k.ended)
	runtime.LockOSThread() // it lives in system calls; spare the scheduler
	defer runtime.UnlockOSThread()
	defer k.closeAll()
	began := time.Now()
	k.deadline = began.Add(k.spec.Timeout)
	events := make([]unix.EpollEvent, 1024)
	for opened := false; ; {
		k.openMore()
		timeout := -1
		if !opened {
			late := time.Now().After(k.deadline)
			if late {
				k.giveUp()
			}
			if k.next == len(k.conns) && k.opening == 0 {
				opened = true
				k.opened.Took = time.Since(began)
				k.result <- k.opened
			} else {
				timeout = 100
			}
		}
		n, err := unix.EpollWait(k.ep, events, timeout)
		if err != nil && err != unix.EINTR {
			panic("loadtest: epoll_wait: " + err.Error()) // our own broken descriptor
		}
		k.sink.mu.Lock()
		for i := range max(n, 0) {
			if events[i].Fd == wakeIndex {
				select {
				case <-k.stop:
					k.sink.mu.Unlock()
					return
				default:
				}
				continue
			}
			k.event(&k.conns[events[i].Fd], int(events[i].Fd), events[i].Events)
		}
		k.sink.mu.Unlock()
	}
}

func (k *epollKind) closeAll() {
	for i := range k.conns {
		if k.conns[i].fd != 0 {
			unix.Close(k.conns[i].fd)
		}
	}
	unix.Close(k.wake)
	unix.Close(k.ep)
}

// openMore starts connections until Window of them are under way.
func (k *epollKind) openMore() {
	for k.next < len(k.conns) && k.opening < k.spec.Window {
		i := k.next
		k.next++
		k.opening++
		if err := k.connect(i); err != nil {
			k.fail(&k.conns[i], err)
		}
	}
}

func (k *epollKind) connect(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c := &k.conns[i]
	c.fd = fd
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // best effort: only latency would suffer
	if i >= k.spec.Connections {
		c.stalled = true
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	} else {
		c.sub = &k.sink.subscribers[i]
	}
	if k.local != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("bind without port: %w", err)
		}
		if err := unix.Bind(fd, k.local); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	if err := unix.Connect(fd, &k.remote); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	return unix.EpollCtl(k.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(i)})
}

// subscribed counts a connection as opened.
func (k *epollKind) subscribed(c *leanConn) {
	k.opening--
	if !c.stalled {
		k.opened.Connections++
		return
	}
	_ = unix.EpollCtl(k.ep, unix.EPOLL_CTL_DEL, c.fd, nil) // from here on nobody reads it
}

// fail closes c; before it was subscribed that is a failure to open.
func (k *epollKind) fail(c *leanConn, err error) {
	if c.fd != 0 {
		unix.Close(c.fd)
		c.fd = 0
	}
	if c.state == leanStream {
		k.sink.closed++ // caller is in the loop's batch: the lock is held
		c.state = leanClosed
		return
	}
	c.state = leanClosed
	k.opening--
	k.opened.Failed++
	if k.opened.FirstError == "" {
		k.opened.FirstError = err.Error()
	}
}

// giveUp fails what is not open at the deadline.
func (k *epollKind) giveUp() {
	err := fmt.Errorf("opening took longer than %v", k.spec.Timeout)
	for ; k.next < len(k.conns); k.next++ {
		k.opening++
	}
	for i := range k.conns {
		if s := k.conns[i].state; s != leanStream && s != leanClosed {
			k.fail(&k.conns[i], err)
		}
	}
}
