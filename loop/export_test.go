package loop

import (
	"context"
	"net/netip"
	"time"
	"unsafe"

	"peal/loop/fanout"
)

// PostTo runs f on one loop.
func (g *Group) PostTo(loop int, f func()) { g.loops[loop].Post(f) }

// EndUnasked ends a loop as a failure of its poller would.
func (g *Group) EndUnasked(loop int) {
	g.loops[loop].kernel.Stop()
}

// Load is how many connections are open or handed over, without asking the loops.
func (g *Group) Load() (n int) {
	for _, l := range g.loops {
		n += int(l.load.Load())
	}
	return n
}

// Armed says that no publisher would wake the loop now.
func (g *Group) Armed(loop int) bool { return g.loops[loop].armed.Load() != 0 }

// StopTicks stops the timers of the loops for good: a loop that sleeps in spite
// of work is then not rescued by its next tick.
func (g *Group) StopTicks() {
	for _, l := range g.loops {
		l.Post(func() {
			l.ticking = true // startTicking leaves it alone
			l.kernel.Tick(0)
		})
	}
}

// Age lets d pass for the timers of a loop, all at once, and returns when it has: other
// goroutines look at the clock, too.
func (g *Group) Age(loop int, d time.Duration) {
	g.on(loop, func(l *Loop) { l.age(d) })
}

func (l *Loop) age(d time.Duration) {
	var k *linux
	switch on := l.kernel.(type) {
	case *linux:
		k = on
	case *gathering:
		k = on.linux
	case *layered:
		k = on.machine
	}
	k.started = k.started.Add(-d)
	l.tickOver()
}

// layered is a kernel of layers, with the one of the machine below them.
type layered struct {
	Kernel
	machine *linux
}

// OpenLayered opens the kernel of the machine with a layer on it.
func OpenLayered(layer func(below OpenKernel) OpenKernel) OpenKernel {
	return func(number int, h Handler) (Kernel, error) {
		var machine *linux
		k, err := layer(func(number int, h Handler) (Kernel, error) {
			k, err := OpenMachine(number, h)
			machine, _ = k.(*linux)
			return k, err
		})(number, h)
		return &layered{k, machine}, err
	}
}

// TurnTimers is the limit of timers.go.
const TurnTimers = turnTimers

// SendRaw is the system call with which loops send.
func SendRaw(fd int32, b []byte) (n int, full bool, err error) { return sends.Send(fd, b) }

var sends linux

// NameOf is what the fan-out calls the connection in slot.
func (g *Group) NameOf(loop int, slot uint32) (name fanout.Conn) {
	g.on(loop, func(l *Loop) { name = fanout.Conn{Slot: slot, Generation: l.conn(slot).serial()} })
	return name
}

// Send has the loop's sender send b, at once or as part of a batch.
func (g *Group) Send(loop int, to fanout.Conn, now bool, b string) (n int, err error) {
	g.on(loop, func(l *Loop) {
		if now {
			n, _, err = l.sender.Now(to, []byte(b))
			return
		}
		l.sender.Queue(7, to, []byte(b))
		l.sender.Flush(func(_ uint32, k int, _ bool, e error) { n, err = k, e })
	})
	return n, err
}

// ExpireAndDismiss lets the time of a waiting poll pass and dismisses it, before the loop flushes.
func (g *Group) ExpireAndDismiss(loop int, slot uint32, e *Ending) {
	g.on(loop, func(l *Loop) {
		l.fan.Expire(slot)
		l.dismissOne(slot, l.conn(slot), e)
	})
}

// on runs f on the loop.
func (g *Group) on(loop int, f func(l *Loop)) {
	done := make(chan struct{})
	g.loops[loop].Post(func() {
		f(g.loops[loop])
		close(done)
	})
	<-done
}

// CountTransports returns how Stats counts the transports of n connections.
func CountTransports(n int) func() Transports {
	l := &Loop{used: uint32(n)}
	for range (n >> slabBits) + 1 {
		l.slabs = append(l.slabs, new(connSlab))
	}
	for i := range l.used {
		l.conn(i).state = stateHTTP
	}
	return l.transports
}

// NewLimited returns how one kind of line is limited.
func NewLimited() func(now time.Duration) (leftOut int, ok bool) { return new(limited).due }

// Limits of dismiss.go.
const (
	DismissLooks  = dismissLooks
	DismissEnds   = dismissEnds
	MaxDismissals = maxDismissals
)

// DismissTurns returns how many turns a dismissal takes that picks nobody of n
// connections, all of which have a name.
func DismissTurns(n int) func() (turns int) {
	l := &Loop{used: uint32(n)}
	for range (n >> slabBits) + 1 {
		l.slabs = append(l.slabs, new(connSlab))
	}
	for i := range l.used {
		l.conn(i).flags = flagNamed
	}
	return func() (turns int) {
		l.dismissals = append(l.dismissals, &dismissal{pick: func(uint32, *conn) *Ending { return nil }, done: func(int) {}})
		for more := true; more; turns++ {
			more = l.dismiss()
		}
		return turns
	}
}

// Advance lets seconds pass on all loops, one after the other.
func (g *Group) Advance(ctx context.Context, seconds int) error {
	return g.each(ctx, func(l *Loop) {
		for range seconds {
			l.age(tick)
		}
	})
}

// MaxLate is how many replies a WebSocket may wait for.
const MaxLate = maxLate

// PeerBytes is the size of the address of a connection.
const PeerBytes = float64(unsafe.Sizeof(peerSlab{})) / (1 << slabBits)

// Peers keeps the addresses of connections as a loop does. Set replaces the one of
// a slot, the zero AddrPort forgets it.
type Peers struct{ loop Loop }

// NewPeers has room for one slab.
func NewPeers() *Peers {
	return &Peers{Loop{slabs: []*connSlab{new(connSlab)}, peers: []*peerSlab{new(peerSlab)}}}
}

func (p *Peers) Set(slot uint32, a netip.AddrPort) {
	p.loop.forgetPeer(slot)
	if a.IsValid() {
		p.loop.setPeer(slot, peer{a.Addr().As16(), a.Port()})
	}
}

func (p *Peers) Get(slot uint32) netip.AddrPort { return p.loop.peer(slot).addrPort() }

// Long is how many IPv6 addresses there is room for.
func (p *Peers) Long() int { return len(p.loop.addresses6) }

// PeerOf is the address with which a connection is counted.
func (g *Group) PeerOf(loop int, slot uint32) (text string) {
	g.on(loop, func(l *Loop) { text = l.clientText(slot) })
	return text
}

// Proxies is how many addresses of proxies a loop keeps beside those of their clients.
func (g *Group) Proxies(loop int) (n int) {
	g.on(loop, func(l *Loop) { n = len(l.proxies) })
	return n
}

// Exempt is whether no limit for one address applies to a peer.
func Exempt(trusted func(netip.Addr) bool, peer netip.Addr) bool {
	return (&Loop{trusted: trusted}).exempt(peer)
}

// ConnBytes is the size of a connection beside its address.
const ConnBytes = unsafe.Sizeof(conn{})

// TakeFromRing is what a loop does with its ring.
var TakeFromRing = take

// DeadlineTick is the tick of a deadline.
var DeadlineTick = deadlineTick

// Addresses is how many addresses are counted.
func (g *Group) Addresses() int { return g.admission.Stats().Addresses }

// Config is what the loops were made with.
func (g *Group) Config() Config { return g.config }

// NameClient is what a layer below does when it learns the client's address.
func (g *Group) NameClient(loop int, slot uint32, peer netip.AddrPort) {
	g.on(loop, func(l *Loop) {
		if c := l.conn(slot); !l.Peer(c.fd, peer) {
			l.close(slot, c) // as after a read that has failed
		}
	})
}

// Pace returns due of the pace of a drain that begins at 0.
func Pace(perSecond, open int, limit time.Duration) func(now time.Duration) int {
	p := newPace(perSecond, open, limit)
	return p.due
}

// Behind is how many messages of the ring a loop has still to take.
func (g *Group) Behind(loop int) uint64 { return g.loops[loop].ring.Behind() }

// Limits of walk.go, life.go and talk.go.
const (
	WalkLooks  = walkLooks
	WalkFinds  = walkFinds
	MostEnds   = mostEnds
	MostBirths = mostBirths
)

// WalkSteps returns how many steps a walk takes that finds none of n connections.
func WalkSteps(n int) func() (steps int) {
	l := &Loop{used: uint32(n)}
	for range (n >> slabBits) + 1 {
		l.slabs = append(l.slabs, new(connSlab))
	}
	for i := range l.used {
		l.conn(i).state = stateHTTP
	}
	return func() (steps int) {
		for slot, done := uint32(0), false; !done; steps++ {
			r := l.walk(&Walk{Session: 1}, slot, MostSeen)
			slot, done = r.next, r.done
		}
		return steps
	}
}

// WalkStep is one step of a walk that looks for all connections.
func (g *Group) WalkStep(loop int, slot uint32, room int) (found int, next uint32) {
	g.on(loop, func(l *Loop) {
		r := l.walk(&Walk{}, slot, room)
		found, next = len(r.found), r.next
	})
	return found, next
}

// Walks is how many walks are under way.
func (g *Group) Walks() int { return int(g.walks.Load()) }

// Talking is whether a loop counts what clients send.
func (g *Group) Talking(loop int) (yes bool) {
	g.on(loop, func(l *Loop) { yes = l.life.talk != nil })
	return yes
}

// Ages accepts a connection in each of so many seconds, and returns how old those of a
// second are, and how many times are kept.
func Ages(seconds uint32) (age func(second uint32) time.Duration, kept int) {
	l := &Loop{}
	for l.tick = 0; l.tick < seconds; l.tick++ {
		l.sessions++
		l.born(l.sessions)
		kept = max(kept, len(l.life.births))
	}
	return func(second uint32) time.Duration { return l.ageOf(uint64(second+1) << 8) }, kept
}
