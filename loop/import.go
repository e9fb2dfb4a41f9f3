package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
)

// Incoming is what the connections of one LoopState of another process have in common.
type Incoming struct {
	Names  fanout.Names
	Rests  [][]byte      // of the LoopState; they are kept
	Passed time.Duration // since the export: what is left of times is shorter by it
}

// ErrConn: a ConnState cannot be taken over. Errors of Import wrap it, and say of which
// session and why.
var ErrConn = errors.New("loop: the connection cannot be taken over")

// Import makes connections of those of another process: their sockets are descriptors of
// this one, non-blocking, and the Group's now. taken is how many of them go on here, each on loop
// Loop modulo the number of loops; the descriptors of the others are closed and their Socket is -1, and err says
// why. What a connection keeps of conns is not to be changed.
//
// Before Start nothing is read or sent, but the fronts have what Mover.Export has given; the
// caller is then the goroutine that calls Start. Behind Start any goroutine may call
// Import. The ring, from where it begins in this process on, or the Source must have all that the
// log has behind the positions of the members.
func (g *Group) Import(ctx context.Context, in Incoming, conns []ConnState) (taken int, err error) {
	by := make([][]*ConnState, len(g.loops))
	for i := range conns {
		h := &conns[i]
		by[int(h.Loop)%len(g.loops)] = append(by[int(h.Loop)%len(g.loops)], h)
	}
	counts, errs := make([]int, len(g.loops)), make([]error, len(g.loops))
	put := func(l *Loop) { counts[l.number], errs[l.number] = l.importAll(in, by[l.number]) }
	if g.started {
		if err := g.each(ctx, put); err != nil {
			return 0, err // a loop may write its own later
		}
	} else {
		for _, l := range g.loops {
			l.begin()
			put(l)
		}
	}
	for _, n := range counts {
		taken += n
	}
	return taken, errors.Join(errs...)
}

// ImportOn is Import for one loop of this process, before Start. Several goroutines may call it for different loops at a
// time; Start must come behind all of them.
func (g *Group) ImportOn(loop int, in Incoming, conns []*ConnState) (taken int, err error) {
	l := g.loops[loop]
	l.begin()
	return l.importAll(in, conns)
}

// ContinueSessions has session numbers go on behind GroupState.Sessions of another process. Call it
// before Start.
func (g *Group) ContinueSessions(counter uint64) {
	for _, l := range g.loops {
		l.sessions = max(l.sessions, counter)
	}
}

func (l *Loop) importAll(in Incoming, conns []*ConnState) (taken int, err error) {
	if len(conns) == 0 {
		return 0, nil
	}
	members := l.fan.NewImporter(in.Names, in.Rests)
	var errs []error
	for _, h := range conns {
		if e := l.importConn(in, members, h); e != nil {
			h.Socket = -1
			errs = append(errs, fmt.Errorf("%w: session %d: %w", ErrConn, h.Session, e))
			continue
		}
		taken++
	}
	l.countChannels()
	l.scheduleTurn()
	return taken, errors.Join(errs...)
}

// stateOf is the state of a connection of each kind.
var stateOf = map[Kind]state{
	KindHTTP: stateHTTP, KindPoll: stateParked, KindEvents: stateSSE,
	KindWebSocket: stateWS, KindClosing: stateWSClosing, KindLingering: stateLinger,
}

// importConn makes a connection of h, or closes its socket.
func (l *Loop) importConn(in Incoming, members *fanout.Importer, h *ConnState) error {
	dialect, reader, err := h.check(in.Names)
	if err != nil {
		l.kernel.CloseSocket(h.Socket)
		return err
	}
	l.startTicking()
	if h.Fresh {
		AwaitOn(l.kernel, Arrival{Socket: h.Socket, Peer: h.Peer})
	}
	if !h.polled {
		if err := l.kernel.Add(h.Socket); err != nil {
			l.kernel.CloseSocket(h.Socket)
			return err
		}
	}
	slot := l.seat(h.Socket)
	c := l.conn(slot)
	*c = conn{
		session: h.Session, fd: h.Socket, generation: c.generation + 1, flags: c.flags & flagAgain,
		state: stateHTTP, seen: l.tick - uint32(h.Silent/tick), dear: dearFrom, missed: h.Missed,
	}
	l.sessions = max(l.sessions, h.Session>>8)
	l.load.Add(1)
	l.open++
	l.importPeer(slot, h)
	l.fan.Attach(fanout.Conn{Slot: slot, Generation: c.serial()}, c.session)
	if err := members.Member(slot, &h.Receives); err != nil {
		l.close(slot, c)
		return err
	}
	c.state, c.dialect, c.reader = stateOf[h.Kind], dialect, reader
	c.flags |= h.flags()
	if m, ok := l.front.(Mover); ok {
		if err := h.importFront(m, l.clientOf(slot)); err != nil {
			c.state, c.flags = stateHTTP, c.flags&flagAgain // the front knows nothing of it
			l.close(slot, c)
			return err
		}
	}
	l.importInput(slot, c, h)
	l.importTimes(slot, h, in.Passed)
	l.carried(slot)
	return nil
}

// importFront has the front take over what it knew of the connection.
func (h *ConnState) importFront(m Mover, c Client) (err error) {
	if h.moved == nil && len(h.Front) > 0 {
		if h.moved, err = m.Read(h.Front); err != nil {
			return err
		}
	}
	return m.Import(c, h.moved)
}

// check returns what h means here, or why it cannot be.
func (h *ConnState) check(names fanout.Names) (dialect ring.Encoding, reader frame.Reader, err error) {
	_, kind := stateOf[h.Kind]
	dialect, known := names.EncodingOf(h.Dialect)
	channels := len(h.Receives.Channels)
	switch {
	case !kind:
		err = fmt.Errorf("its kind %q is not known", h.Kind)
	case h.Session == 0:
		err = errors.New("it has no session number")
	case !known && h.Kind != KindHTTP && h.Kind != KindLingering:
		err = fmt.Errorf("its dialect %q is not known", h.Dialect)
	case channels > 0 && h.Kind != KindPoll && h.Kind != KindEvents && h.Kind != KindWebSocket:
		err = fmt.Errorf("it is of kind %q and has %d channels", h.Kind, channels)
	case (h.Kind == KindPoll) != h.Receives.OneShot:
		err = fmt.Errorf("it is of kind %q, and a poll: %v", h.Kind, h.Receives.OneShot)
	case h.Publishes && channels == 0 && h.Kind == KindWebSocket:
		err = errors.New("it publishes, and has no channel")
	case h.Reader != nil:
		reader, err = h.Reader.Reader(h.Input)
	}
	return dialect, reader, err
}

// flags are those of the connection.
func (h *ConnState) flags() (flags uint16) {
	for _, o := range [...]struct {
		on   bool
		flag uint16
	}{
		{h.Used, flagUsed}, {h.Named, flagNamed}, {h.CloseNext, flagCloseNext}, {h.Answering, flagAnswering}, {h.Continued, flagContinued},
		{h.HalfClosed, flagHalfClosed}, {h.Publishes, flagPublishes}, {h.Commands, flagCommands},
	} {
		if o.on {
			flags |= o.flag
		}
	}
	return flags
}

// importPeer gives a connection its addresses, and counts it with them by the limits of this process.
func (l *Loop) importPeer(slot uint32, h *ConnState) {
	l.setPeer(slot, peerOf(h.Peer))
	l.setVia(slot, l.peer(slot).addrPort().Addr(), false)
	v := &l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)]
	if h.Proxy {
		if *v |= viaNamed; !h.Peer.IsValid() {
			*v &^= viaTrusted
		}
	}
	if *v&viaTrusted != 0 {
		l.setClient(slot, h.Client)
	} else if who := l.clientAt(h.Peer.Addr()); who.Limited {
		l.admission.Count(who.Key)
		*v |= viaCounted
	}
}

// importInput gives a connection what was read of it, which is looked at in a turn.
func (l *Loop) importInput(slot uint32, c *conn, h *ConnState) {
	if c.state == stateLinger {
		c.need = h.Discarded
	}
	if h.InflowBytes > 0 || h.InflowFrames > 0 {
		f := l.inflowOf(slot)
		f.bytes, f.frames = h.InflowBytes, h.InflowFrames
	}
	if len(h.Input) == 0 {
		return
	}
	l.keepInput(slot, c, h.Input, 0, true)
	l.inputs[c.input].since = l.tick - uint32(h.Began/tick)
	if h.Head && c.state == stateHTTP {
		l.beginHead(c)
	}
	if !l.waits(c) {
		l.backlog(slot, c)
	}
}

// importTimes arms the timers of a connection. None is without one.
func (l *Loop) importTimes(slot uint32, h *ConnState, passed time.Duration) {
	l.wait(slot, l.conn(slot), l.idleTicks)
	for _, timer := range [...]struct {
		wheel *fanout.Wheel
		left  time.Duration
	}{{l.wheel, h.Timer}, {l.deadlines, h.Deadline}} {
		if timer.left > 0 {
			timer.wheel.Set(slot, deadlineTick(l.kernel.Now(), max(0, timer.left-passed)))
		}
	}
}
