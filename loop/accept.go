package loop

import (
	"errors"
	"slices"
	"time"

	"peal/loop/admit"
)

// acceptBatch is how many sockets are accepted before they are handed over and
// other events have their turn.
const acceptBatch = 64

// acceptRetry is the pause after the kernel was out of descriptors or memory.
const acceptRetry = 50 * time.Millisecond

// refusal is the response to a connection for which there is no descriptor.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 116\r\nRetry-After: 5\r\nConnection: close\r\n\r\n" +
	`{"error":{"code":"too_many_connections","message":"the server has reached max-connections: try again in 5 seconds"}}`

// acceptor accepts for all loops; it belongs to loop 0.
type acceptor struct {
	group     *Group
	loop      *Loop
	listeners []int32
	inherited int // of these, the first ones: another process keeps them open
	admission *admit.Admission
	paused    bool
	retrying  bool
	waiting   bool         // for the rate of new connections: resume
	again     bool         // a batch ended before the backlog did: more in the next turn
	given     [][]newcomer // for each other loop, what this batch brings
	counts    acceptCounts
}

type acceptCounts struct {
	shed      uint64 // no descriptor left
	exhausted uint64 // times the kernel was out of something
	failed    uint64 // connections that ended before they were accepted
}

func newAcceptor(g *Group, listeners []int, inherited int) *acceptor {
	a := &acceptor{group: g, inherited: inherited, loop: g.loops[0], admission: g.admission, given: make([][]newcomer, len(g.loops))}
	for _, fd := range listeners {
		a.listeners = append(a.listeners, int32(fd))
	}
	a.loop.kernel.Spare(true) // given up to shed a connection when there is no other
	return a
}

func (a *acceptor) owns(fd int32) bool { return slices.Contains(a.listeners, fd) }

// accept takes what waits on a listener, a batch at a time. The listener is
// edge-triggered: what is left when a batch ends is fetched in the next turn, after
// other events; a task that posts itself again would run before them.
func (a *acceptor) accept(listener int32) {
	for n := 0; !a.paused && a.loop.freeze == nil && !a.mustWait(); n++ {
		if n == acceptBatch {
			a.handOver()
			a.again = true
			a.loop.scheduleTurn()
			return
		}
		arrival, err := a.loop.kernel.Accept(listener)
		switch {
		case err == nil:
			a.place(arrival)
			continue
		case err == ErrAgain:
		case err == ErrNotListening: // it was closed: drain
		case errors.Is(err, ErrExhausted):
			a.exhausted(listener, err)
		default:
			a.counts.failed++ // of one connection only, accept(2): "treat them like EAGAIN by retrying"
			continue
		}
		break
	}
	a.handOver()
}

// exhausted: no more can be accepted for want of descriptors or memory.
func (a *acceptor) exhausted(listener int32, err error) {
	a.counts.exhausted++
	a.loop.warn(&a.loop.complaints.exhausted, "cannot accept connections: the kernel is out of descriptors or memory; raise ulimit -n, or lower max-connections", func() []any {
		return []any{"error", err}
	})
	a.shed(listener)
	a.retryLater()
}

// mustWait reports whether accepting pauses for the rate of new connections. Those
// that wait stay in the kernel's backlog, and a timer goes on with them.
func (a *acceptor) mustWait() bool {
	if a.waiting {
		return true
	}
	wait := a.admission.Pause(a.loop.now)
	if wait == 0 {
		return false
	}
	a.waiting = true
	a.loop.kernel.After(min(max(wait, leastPause), mostPause), func() { // ends by itself after one Post
		a.loop.Post(func() {
			a.waiting = false
			a.acceptAll()
		})
	})
	return true
}

// leastPause is how long accepting pauses at least: some tokens come back meanwhile,
// and not each connection costs a timer.
const leastPause = 2 * time.Millisecond

// mostPause is how long it pauses at most before it looks again: the limit may have been
// raised meanwhile.
const mostPause = time.Second

// place gives the socket to the loop with the fewest connections, also if it is only
// to be refused there. This loop adopts its own at once; handOver brings the others theirs.
func (a *acceptor) place(s Arrival) {
	least, total := 0, a.group.reserved.Load()
	for i, l := range a.group.loops {
		n := l.load.Load()
		total += n
		if n < a.group.loops[least].load.Load() {
			least = i
		}
	}
	who := a.loop.clientAt(s.Peer.Addr())
	why, wait := a.admission.Admit(who, int(total), a.loop.now)
	c := newcomer{Arrival: s, counted: who.Limited && why == admit.None, why: why}
	if why == admit.None {
		a.group.loops[least].load.Add(1)
	} else {
		a.loop.warnRefused(why, s.Peer)
		var ok bool
		if c.retry, ok = a.admission.Polite(why, wait, a.loop.now, a.loop.kernel.Random); !ok {
			a.loop.kernel.CloseSocket(s.Socket)
			return
		}
	}
	if l := a.group.loops[least]; l == a.loop {
		l.adopt(&c)
	} else {
		a.given[least] = append(a.given[least], c)
	}
}

// refuse says why and hangs up. The client's request is not read, so the kernel
// may reset the connection before it has read the answer; it is a courtesy. Before
// the handshake of TLS nothing can be said.
func (a *acceptor) refuse(s Arrival) {
	k := a.loop.kernel
	if !s.Secure {
		_, _, _ = k.Send(s.Socket, []byte(refusal)) // it has room, or is gone
		k.Shutdown(s.Socket)
		_, _ = k.Read(s.Socket, a.loop.rbuf)
	}
	k.CloseSocket(s.Socket)
}

func (a *acceptor) handOver() {
	for i, sockets := range a.given {
		if len(sockets) == 0 {
			continue
		}
		a.group.loops[i].give(sockets)
		a.given[i] = sockets[:0]
	}
}

// shed refuses waiting connections with the spare descriptor, so that they end now
// and not after a timeout.
func (a *acceptor) shed(listener int32) {
	k := a.loop.kernel
	for n := 0; n < acceptBatch && k.Spare(true); n++ {
		k.Spare(false)
		arrival, err := k.Accept(listener)
		if err != nil {
			break
		}
		a.counts.shed++
		a.refuse(arrival)
	}
	k.Spare(true)
}

func (a *acceptor) retryLater() {
	if a.retrying {
		return
	}
	a.retrying = true
	a.loop.kernel.After(acceptRetry, func() { // ends by itself after one Post
		a.loop.Post(func() {
			a.retrying = false
			if a.listeners == nil {
				return // closed meanwhile
			}
			a.loop.kernel.Spare(true)
			a.acceptAll()
		})
	})
}

func (a *acceptor) acceptAll() {
	a.again = false
	for _, l := range a.listeners {
		a.accept(l)
	}
}

// pause stops accepting, or goes on with it. What waits, waits in the kernel.
func (a *acceptor) pause(on bool) {
	a.paused = on
	if !on {
		a.acceptAll()
	}
}

// mostLast is how many connections that wait on a listener are accepted before it is
// closed: as many as wait there by default (net.core.somaxconn).
const mostLast = 4096

// takeLast accepts what waits on the listeners that nobody else keeps open, whatever the
// rate of new connections: closing them would reset it. It is served like others of a drain.
func (a *acceptor) takeLast() {
	for _, listener := range a.listeners[min(a.inherited, len(a.listeners)):] {
		for range mostLast {
			arrival, err := a.loop.kernel.Accept(listener)
			switch {
			case err == nil:
				a.place(arrival)
				continue
			case err != ErrAgain && err != ErrNotListening && !errors.Is(err, ErrExhausted):
				a.counts.failed++
				continue
			}
			break
		}
	}
	a.handOver()
}

func (a *acceptor) close() {
	if !a.paused {
		a.takeLast()
	}
	a.paused = true
	for _, l := range a.listeners {
		a.loop.kernel.CloseSocket(l)
	}
	a.listeners = nil
	a.loop.kernel.Spare(false)
}
