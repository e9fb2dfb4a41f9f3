package loop_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"peal/loop"
)

// memoryKernel is a kernel without sockets, for more connections than a process may have descriptors. Every
// connection sends one request, and its client takes all that it is sent.
type memoryKernel struct {
	handler  loop.Handler
	listener int32
	most     int                // connections
	request  func(i int) string // what connection i sends
	began    time.Time

	mu    sync.Mutex
	tasks []func()
	wake  chan struct{} // room for one
	ended bool

	// Of the loop's goroutine.
	accepted int
	unread   map[int32][]byte
	ready    []int32
	turn     bool
}

// openMemory returns what opens such kernels, with so many connections for each loop, and a listener for them.
func openMemory(most int, request func(i int) string) (loop.OpenKernel, func(testing.TB) (int, net.Addr)) {
	const listener = 1 << 30
	open := func(_ int, h loop.Handler) (loop.Kernel, error) {
		return &memoryKernel{handler: h, listener: listener, most: most, request: request, began: time.Now(), wake: make(chan struct{}, 1), unread: map[int32][]byte{}}, nil
	}
	return open, func(testing.TB) (int, net.Addr) { return listener, &net.TCPAddr{} }
}

func (k *memoryKernel) Run() error {
	for {
		k.mu.Lock()
		tasks, ended := k.tasks, k.ended
		k.tasks = nil
		k.mu.Unlock()
		if ended {
			return nil
		}
		ready, turn := k.ready, k.turn
		k.ready, k.turn = nil, false
		for _, socket := range ready {
			k.handler.Ready(socket, loop.Readable|loop.Writable)
		}
		for _, task := range tasks {
			task()
		}
		if turn {
			k.handler.Turn()
		}
		if len(tasks)+len(k.ready) == 0 && !k.turn {
			<-k.wake
		}
	}
}

func (k *memoryKernel) Stop() { k.Trigger(nil) }

func (k *memoryKernel) Trigger(task func()) {
	k.mu.Lock()
	if task == nil {
		k.ended = true
	} else {
		k.tasks = append(k.tasks, task)
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *memoryKernel) Yield()             { k.turn = true }
func (k *memoryKernel) Tick(time.Duration) {} // no time passes
func (k *memoryKernel) Close() error       { return nil }

func (k *memoryKernel) Add(socket int32) error {
	k.ready = append(k.ready, socket)
	return nil
}

func (k *memoryKernel) Accept(int32) (loop.Arrival, error) {
	if k.accepted == k.most {
		return loop.Arrival{}, loop.ErrAgain
	}
	k.accepted++
	i := k.accepted
	k.unread[int32(i)] = []byte(k.request(i))
	return loop.Arrival{Socket: int32(i), Peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)}, nil
}

func (k *memoryKernel) Read(socket int32, b []byte) (n int, err error) {
	n = copy(b, k.unread[socket])
	if k.unread[socket] = k.unread[socket][n:]; n == 0 {
		delete(k.unread, socket)
		return 0, loop.ErrAgain
	}
	return n, nil
}

func (k *memoryKernel) Send(_ int32, b []byte) (n int, full bool, err error) {
	return len(b), false, nil
}
func (k *memoryKernel) Shutdown(int32)                  {}
func (k *memoryKernel) CloseSocket(int32)               {}
func (k *memoryKernel) Copy(fd int32) (int32, error)    { return fd, nil }
func (k *memoryKernel) CloseCopy(int32)                 {}
func (k *memoryKernel) EndOf(int32) loop.End            { return loop.EndNone }
func (k *memoryKernel) Spare(bool) bool                 { return true }
func (k *memoryKernel) Now() time.Duration              { return time.Since(k.began) }
func (k *memoryKernel) After(d time.Duration, f func()) { time.AfterFunc(d, f) }
func (k *memoryKernel) Random(int64) int64              { return 0 }

// traffic has the kernel describe one TCP connection, whichever it is called for.
func traffic(t testing.TB) func(int32) (loop.Traffic, bool) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); ln.Close() })
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd := int32(f.Fd())
	return func(int32) (loop.Traffic, bool) { return loop.TCPTraffic(fd) }
}

// crowd is a server with so many event streams on one loop, each on a channel of all and one of its own.
func crowd(b testing.TB, n int) *server {
	open, listen := openMemory(n, func(i int) string {
		named := ""
		if i%2 == 0 {
			named = " named"
		}
		return fmt.Sprintf("sse all,own%06d now%s\n", i, named)
	})
	traffic := traffic(b)
	s := start(b, options{traffic: traffic, config: loop.Config{Loops: 1, MaxConnections: n + 1, Heartbeat: time.Hour, IdleTimeout: time.Hour}, open: open, listen: listen, unlimited: true})
	b.Cleanup(func() { // nobody is at the other ends, so a drain would wait for nothing
		over, cancel := context.WithCancel(context.Background())
		cancel()
		s.group.Drain(over)
	})
	s.await("all are subscribed", func() bool { return s.journal.subscribers() == 2*n })
	return s
}
