package secure

import (
	"net/netip"
	"sync"
	"time"

	"peal/loop"
)

// cipherBytes is how much ciphertext one read takes. With a record that is kept, it has
// room for all that may have come before a handshake is done (maxHandshake).
const cipherBytes = 48 << 10

// kernel is the layer on one loop.
type kernel struct {
	// Fixed at creation.
	layer *Layer
	below loop.Kernel
	above loop.Handler

	// Loop-owned.
	conns      []*conn       // by descriptor; nil: without TLS, or not on this loop
	due        []*conn       // the loop above is to hear of them in a turn
	handshakes deadlines     // of all unfinished ones
	records    deadlines     // of records of which a part has come
	partings   deadlines     // of connections that end behind an alert
	sweepAt    time.Duration // when sweep is called next; 0: it is not
	input      int           // bytes of input kept
	kept       int           // bytes of output kept
	feed       []byte        // what crypto/tls has still to read of a record, if lend cannot give it
	complained time.Duration // no line of the log before

	// Scratch.
	cipher [cipherBytes + maxRecord]byte // what one read has brought, behind what was kept
	plain  [maxCiphertext]byte           // one record that has no room where it should go

	// Shared.
	gate    sync.Mutex     // guards closed, and is held while others trigger
	closed  bool           // below may not be called any more
	running sync.WaitGroup // goroutines of handshakes on this loop
}

var (
	_ loop.Kernel  = (*kernel)(nil)
	_ loop.Keeper  = (*kernel)(nil)
	_ loop.Handler = handler{}
)

func newKernel(l *Layer, above loop.Handler) *kernel {
	return &kernel{
		layer: l, above: above,
		handshakes: deadlines{after: l.config.HandshakeTimeout},
		records:    deadlines{after: l.config.RecordTimeout},
		partings:   deadlines{after: partingTime},
	}
}

// conn finds the TLS connection that has the descriptor now; nil: it has none.
func (k *kernel) conn(fd int32) *conn {
	if uint32(fd) < uint32(len(k.conns)) {
		return k.conns[fd]
	}
	return nil
}

// What follows is loop.Kernel, for the loop above.

func (k *kernel) Run() error                      { return k.below.Run() }
func (k *kernel) Stop()                           { k.below.Stop() }
func (k *kernel) Yield()                          { k.below.Yield() }
func (k *kernel) Trigger(task func())             { k.below.Trigger(task) }
func (k *kernel) Tick(every time.Duration)        { k.below.Tick(every) }
func (k *kernel) Copy(fd int32) (int32, error)    { return k.below.Copy(fd) }
func (k *kernel) CloseCopy(fd int32)              { k.below.CloseCopy(fd) }
func (k *kernel) Spare(keep bool) bool            { return k.below.Spare(keep) }
func (k *kernel) Now() time.Duration              { return k.below.Now() }
func (k *kernel) After(d time.Duration, f func()) { k.below.After(d, f) }
func (k *kernel) Random(n int64) int64            { return k.below.Random(n) }

// Close waits for the goroutines of the handshakes, which have been interrupted.
func (k *kernel) Close() error {
	for _, c := range k.conns {
		if c != nil {
			k.drop(c)
		}
	}
	k.gate.Lock()
	k.closed = true
	k.gate.Unlock()
	k.running.Wait()
	return k.below.Close()
}

// poke has task run on the loop, unless the loop has ended. Any goroutine may call it.
func (k *kernel) poke(task func()) {
	k.gate.Lock()
	defer k.gate.Unlock()
	if !k.closed {
		k.below.Trigger(task)
	}
}

func (k *kernel) Accept(listener int32) (loop.Arrival, error) {
	a, err := k.below.Accept(listener)
	if err == nil && k.layer.serves(listener) {
		a.Secure = true
		k.layer.leave(a.Socket, a.Peer)
	}
	return a, err
}

func (k *kernel) Add(fd int32) error {
	peer, ok := k.layer.claim(fd)
	if ok {
		for int(fd) >= len(k.conns) {
			k.conns = append(k.conns, make([]*conn, max(1024, len(k.conns)/2))...)
		}
		k.conns[fd] = k.newConn(fd, peer)
	}
	err := k.below.Add(fd)
	if err != nil && ok {
		k.drop(k.conns[fd])
	}
	return err
}

// Keeps and Await are loop.Keeper's. Connections over TLS are not handed over.
func (k *kernel) Keeps(fd int32) loop.Keeping {
	if k.conn(fd) != nil {
		return loop.KeepsInput
	}
	return loop.KeepsOf(k.below, fd)
}

func (k *kernel) Await(a loop.Arrival) { loop.AwaitOn(k.below, a) }

func (k *kernel) CloseSocket(fd int32) {
	if c := k.conn(fd); c != nil {
		k.drop(c)
	} else {
		k.layer.claim(fd) // it was accepted, and never added
	}
	k.below.CloseSocket(fd)
}

func (k *kernel) EndOf(fd int32) loop.End {
	end := k.below.EndOf(fd)
	if c := k.conn(fd); c != nil {
		switch {
		case c.state == stateEnded:
			return loop.EndBoth
		case c.ended:
			return max(end, loop.EndRead)
		}
	}
	return end
}

// What follows is loop.Handler, for the kernel below.

func (k *kernel) Peer(fd int32, peer netip.AddrPort) (welcome bool) {
	if c := k.conn(fd); c != nil {
		c.rename(peer)
	}
	return k.above.Peer(fd, peer)
}

func (k *kernel) Ready(fd int32, e loop.Events) {
	c := k.conn(fd)
	if c == nil {
		k.above.Ready(fd, e)
		return
	}
	if e&loop.Writable != 0 && !k.flush(c) {
		e &^= loop.Writable
	}
	switch c.state {
	case stateOpen, stateEnded:
		c.dry = c.dry && e&loop.Readable == 0
		if e != 0 {
			k.above.Ready(fd, e)
		}
	case stateParting:
		if e&loop.Readable != 0 {
			k.discard(c)
		}
	default:
		if e&loop.Readable != 0 {
			k.receive(c, e&loop.NearEnd != 0)
		}
	}
}

func (k *kernel) Polled() { k.above.Polled() }

// Turn tells the loop above what it must hear although no event has come.
func (k *kernel) Turn() {
	n := len(k.due) // what is added meanwhile has had its Yield
	for _, c := range k.due[:n] {
		e := c.news
		c.news = 0
		if c.state != stateFree {
			k.Ready(c.fd, e)
		}
	}
	k.above.Polled()
	k.due = append(k.due[:0], k.due[n:]...)
	k.above.Turn() // whoever has asked for it
}

// handler is the kernel as the one below sees it: both interfaces have a Tick.
type handler struct{ *kernel }

func (h handler) Tick() { h.above.Tick() }

// later has the loop above hear e of a connection in a turn. It may be called in a
// call of the loop above.
func (k *kernel) later(c *conn, e loop.Events) {
	if c.news == 0 {
		k.due = append(k.due, c)
		k.below.Yield()
	}
	c.news |= e
}
