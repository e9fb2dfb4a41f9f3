package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"peal/loadtest/dialect"
)

// epollKind plays the subscribers on one goroutine and raw epoll. It exists
// because client and server share the cores and the memory: it costs less than
// the gws kind, a tenth of its memory, so the server gets more of them. And it
// speaks every transport.
//
// All fields belong to the goroutine of loop; open and close only start and
// end it.
type epollKind struct {
	spec   *Spec
	sink   *sink
	peer   *dialect.Peer   // nil: none
	remote []remoteAddress // the target's, each tried if the one before refuses
	local  unix.Sockaddr   // nil: the kernel's choice

	ep, wake int
	beat     *heartbeat
	conns    []leanConn
	requests [][]byte // the preliminary ones, ready to send
	buffer   []byte   // one read; before it, what the connection kept from the last

	// With TLS.
	config   *tls.Config // of clients that come back; nil: no TLS
	unknown  *tls.Config // of those that connect for the first time
	cipher   []byte      // one read
	undialed []dial      // to be dialed
	dialing  int         // under way
	dialed   chan dial   // capacity Window
	ctx      context.Context
	cancel   context.CancelFunc // of ctx, by loop

	last     bool            // input is called with the last bytes of a connection
	scratch  []byte          // one request
	joined   []byte          // data of an event that has several lines of it
	data     [][]byte        // the messages of one JSON text
	around   []byte          // and the text without them
	judged   map[string]bool // such texts that are JSON
	samePath string          // see pollPath
	inflater inflater        // of compressed messages

	next     int // connection to open next
	opening  int // under way
	opened   Opened
	due      int64 // Now() at which the first connection is opened
	deadline int64
	retries  []retry // with Resume: to be opened again, the earliest first

	unexpected []byte // the first message of those that no step waited for
	turns      int    // how many were sent, or were not due
	turnAt     int64  // Now() of the next
	nextTurn   int    // milliseconds until then, or until lookAt; −1: never
	lookAt     int64  // Now() at which connections are looked for that were not confirmed in time

	drops  chan time.Duration // capacity 1: how long to stay away
	result chan Opened        // one value, when opening is over
	stop   chan struct{}      // closed by close
	ended  chan struct{}      // closed by loop
}

const (
	readBytes    = 256 << 10
	partialLimit = 4 << 20 // of one message or answer

	stalledBuffer = 4096 // for what is received, of connections that do not read
)

func newEpollKind(spec *Spec, sink *sink) (*epollKind, error) {
	k := &epollKind{
		spec:   spec,
		sink:   sink,
		conns:  make([]leanConn, spec.Connections+spec.Stalled),
		buffer: make([]byte, readBytes+partialLimit),
		judged: map[string]bool{},
		drops:  make(chan time.Duration, 1),
		result: make(chan Opened, 1),
		stop:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	err := k.addresses()
	if err != nil {
		return nil, err
	}
	if spec.TLS != nil {
		if k.config, err = spec.TLS.config(&spec.Endpoint); err != nil {
			return nil, err
		}
		k.unknown = k.config.Clone()
		k.unknown.ClientSessionCache = unknownClients{k.config.ClientSessionCache}
		k.cipher, k.dialed = make([]byte, readBytes/2), make(chan dial, spec.Window)
	}
	if spec.Dialect != nil {
		if k.peer, err = spec.Dialect.Subscriber(spec.Data, spec.Path, spec.Header); err != nil {
			return nil, err
		}
		if spec.Transport == Poll {
			if err := k.peer.Polls(); err != nil {
				return nil, err
			}
		}
	}
	for _, path := range spec.Requests {
		k.requests = append(k.requests, appendGet(nil, path, spec.Host, ""))
	}
	if k.ep, k.wake, err = newPoller(); err != nil {
		return nil, err
	}
	if k.beat, err = newHeartbeat(k.ep); err != nil {
		return nil, errors.Join(err, unix.Close(k.wake), unix.Close(k.ep))
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	go k.loop()
	return k, nil
}

// remoteAddress is an address of the server.
type remoteAddress struct {
	domain int
	addr   unix.Sockaddr
}

// addresses reads those of the spec, and leaves out those that its source cannot reach.
func (k *epollKind) addresses() (err error) {
	from := 0
	if k.spec.Source != "" {
		if from, k.local, err = socketAddress(net.JoinHostPort(k.spec.Source, "0")); err != nil {
			return fmt.Errorf("source %q: must be an IP address", k.spec.Source)
		}
	}
	for _, text := range append([]string{k.spec.Addr}, k.spec.More...) {
		domain, addr, err := socketAddress(text)
		if err != nil {
			return err
		}
		if from == 0 || from == domain {
			k.remote = append(k.remote, remoteAddress{domain, addr})
		}
	}
	if len(k.remote) == 0 {
		return fmt.Errorf("source %q: the target has no such address, but %s: both must be IPv4 or IPv6", k.spec.Source, k.spec.Addr)
	}
	return nil
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
	wakeUp(k.wake)
	<-k.ended
	unix.Close(k.wake) // not by loop, which may end before it is woken
	unix.Close(k.ep)
}

// loop ends when stop is closed.
func (k *epollKind) loop() {
	defer close(k.ended)
	runtime.LockOSThread() // it lives in system calls; spare the scheduler
	defer runtime.UnlockOSThread()
	defer k.closeAll()
	k.begin(0)
	events := make([]unix.EpollEvent, 1024)
	for opened := false; ; {
		timeout := k.openMore()
		if !opened {
			if Now() > k.deadline {
				k.giveUp()
			}
			if k.next == len(k.conns) && k.opening == 0 && len(k.retries) == 0 {
				opened = true
				k.opened.Took = time.Duration(Now() - k.due)
				o := k.opened
				o.Handshake = o.Handshake.clone() // those that come back later are still recorded
				k.result <- o
				timeout = -1
			} else if timeout < 0 {
				timeout = 100
			}
		}
		if k.nextTurn >= 0 && (timeout < 0 || k.nextTurn < timeout) {
			timeout = k.nextTurn
		}
		n, err := unix.EpollWait(k.ep, events, timeout)
		if err != nil && err != unix.EINTR {
			panic("loadtest: epoll_wait: " + err.Error()) // our own broken descriptor
		}
		k.sink.mu.Lock()
		k.nextTurn = k.speakDue(Now())
		if look := k.confirmLate(Now()); look >= 0 && (k.nextTurn < 0 || look < k.nextTurn) {
			k.nextTurn = look
		}
		for i := range max(n, 0) {
			switch events[i].Fd {
			case wakeIndex:
				_, _ = unix.Read(k.wake, k.buffer[:8]) // it only makes the descriptor quiet
				k.takeDialed()
				continue
			case beatIndex:
				k.beat.beat(k.sink)
				continue
			}
			k.event(&k.conns[events[i].Fd], int(events[i].Fd))
		}
		k.sink.mu.Unlock()
		select {
		case <-k.stop:
			return
		case away := <-k.drops:
			k.dropAll(away)
			opened = false
		default:
		}
	}
}

func (k *epollKind) closeAll() {
	for k.cancel(); k.dialing > 0; k.dialing-- {
		d := <-k.dialed
		d.close()
	}
	for i := range k.conns {
		if k.conns[i].fd != 0 {
			unix.Close(k.conns[i].fd)
		}
	}
	k.beat.close()
}

// connect starts to connect i to the first address that does not refuse at once.
func (k *epollKind) connect(i int) error {
	c := &k.conns[i]
	c.state = leanConnect
	if c.began == 0 {
		c.began = Now()
	}
	if c.stalled = i >= k.spec.Connections; !c.stalled {
		c.sub = &k.sink.subscribers[i]
	}
	if k.config != nil {
		k.secured(i)
		return nil
	}
	err := k.connectOnce(c, i)
	for err != nil && k.another(c) {
		err = k.connectOnce(c, i)
	}
	return err
}

// another gives up the address that has refused c. false: it was the last.
func (k *epollKind) another(c *leanConn) bool {
	if int(c.tried)+1 >= len(k.remote) || c.fd == 0 {
		return false
	}
	unix.Close(c.fd)
	c.fd = 0
	c.tried++
	return true
}

func (k *epollKind) connectOnce(c *leanConn, i int) error {
	remote := k.remote[k.spec.turn(i, int(c.tried), len(k.remote))]
	fd, err := unix.Socket(remote.domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd = fd
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // best effort: only latency would suffer
	if c.stalled {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stalledBuffer); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	if k.local != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		if err := unix.Bind(fd, k.local); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	if err := unix.Connect(fd, remote.addr); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	return unix.EpollCtl(k.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(i)})
}
