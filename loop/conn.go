package loop

import (
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
)

// state is what a connection is at the moment.
type state uint8

const (
	stateFree      state = iota
	stateHTTP            // between requests, inside one, or its answer on the way
	stateParked          // a poll waits
	stateLater           // a worker answers
	stateWaiting         // a request is here, and the front wants to look at it later: Again
	stateSSE             // an event stream; what the client sends is discarded
	stateWS              // WebSocket, open
	stateWSClosing       // WebSocket, our close frame was sent, the client's is awaited
	stateLinger          // nothing more is sent; what still comes is discarded until the client hangs up
)

// Connection flags.
const (
	flagReadable   uint16 = 1 << iota // the kernel may have input that was not read
	flagEnding                        // an event said that the end is near: read to the end
	flagContinued                     // HTTP: 100 (Continue) was sent for the request under way; see flagCorked
	flagAnswering                     // an answer has not left completely: no further request until Idle
	flagCloseNext                     // close after the answer under way
	flagPublishes                     // WebSocket: what the client sends is published to its channel
	flagCommands                      // WebSocket: what the client sends are commands
	flagAsking                        // WebSocket: a worker prepares an answer for it
	flagAgain                         // in Loop.again: another round of reading is due
	flagHead                          // part of a request is here, so HeadTimeout runs
	flagDrained                       // its turn in a drain has come: it ends as soon as it has all it is owed
	flagNamed                         // Front.Left is due when it receives nothing more
	flagHalfClosed                    // the client has ended its side: all it sent was read, and what it is owed is still sent
	flagFarewell                      // WebSocket: the client has ended its side, and leaves when it has its replies
	flagBacklog                       // part of its input waits for a turn, because it had used up its part of this one
	flagUsed                          // it had a request
)

// flagCorked: WebSocket or event stream: part of what it is sent is in Loop.cork. All bits are taken, and flagContinued is for
// requests only.
const flagCorked = flagContinued

// conn is one client socket, 56 bytes without a pointer. It is found by
// descriptor → slot, and belongs to its loop altogether.
type conn struct {
	session    uint64
	fd         int32
	generation uint32
	input      uint32 // index in Loop.inputs, 0 for none: bytes that were read and not used
	seen       uint32 // tick of the last input
	need       uint32 // bytes of input below which the front need not be asked again; flagFarewell: see farewell
	reader     frame.Reader
	flags      uint16
	state      state
	dialect    ring.Encoding // Subscription.Dialect
	missed     uint8         // heartbeats without a sign of life
	dear       uint8         // work on its recent input: see putOff
	late       uint16        // WebSocket: replies to its messages that are still to come by Answer
}

// serial tells the connection from those that had its slot before. generation does
// more: it changes with every Ref that has brought its answer.
func (c *conn) serial() uint32 { return uint32(c.session >> 8) }

// isOpen reports whether it is a WebSocket or an event stream that may be written to:
// its last bytes were not.
func (c *conn) isOpen() bool {
	return c.state == stateWS || c.state == stateSSE && c.flags&flagCloseNext == 0
}

const slabBits = 8

type connSlab [1 << slabBits]conn

func (l *Loop) conn(slot uint32) *conn { return &l.slabs[slot>>slabBits][slot&(1<<slabBits-1)] }

// bySocket finds the connection that has the descriptor now.
func (l *Loop) bySocket(fd int32) (uint32, *conn) {
	if int(fd) >= len(l.slots) || l.slots[fd] == 0 {
		return 0, nil
	}
	slot := l.slots[fd] - 1
	return slot, l.conn(slot)
}

// adopt makes an accepted socket a connection of this loop.
func (l *Loop) adopt(s *newcomer) {
	fd := s.Socket
	l.startTicking()
	if err := l.kernel.Add(fd); err != nil {
		l.counts.refused++
		l.leave(*s)
		l.kernel.CloseSocket(fd)
		return
	}
	slot := l.seat(fd)
	c := l.conn(slot)
	l.sessions++
	l.born(l.sessions)
	*c = conn{
		session:    l.sessions<<8 | uint64(l.number),
		fd:         fd,
		generation: c.generation + 1,
		flags:      c.flags & flagAgain,
		state:      stateHTTP,
		seen:       l.tick,
		dear:       dearFrom,
	}
	l.setPeer(slot, peerOf(s.Peer))
	l.setVia(slot, s.Peer.Addr(), s.Secure)
	l.open++
	l.counts.accepted++
	l.fan.Attach(fanout.Conn{Slot: slot, Generation: c.serial()}, c.session)
	l.wait(slot, c, l.idleTicks)
	l.enter(slot, c, s)
}

// seat gives a socket a slot that is free.
func (l *Loop) seat(fd int32) (slot uint32) {
	if n := len(l.free); n > 0 {
		slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		slot = l.used
		l.used++
		if int(slot>>slabBits) == len(l.slabs) {
			l.slabs = append(l.slabs, new(connSlab))
			l.peers = append(l.peers, new(peerSlab))
		}
	}
	for int(fd) >= len(l.slots) {
		l.slots = append(l.slots, make([]uint32, max(1024, len(l.slots)/2))...)
	}
	l.slots[fd] = slot + 1
	return slot
}

// close ends the connection at once. Nothing else may be done with c.
func (l *Loop) close(slot uint32, c *conn) {
	if c.state == stateFree {
		return
	}
	l.noteEnd(slot, c, 0, endLost)
	if c.state == stateLater || c.state == stateParked {
		l.responded(c, nil)
	}
	l.ended(slot)
	l.giveBack(slot, c)
}

// giveBack gives back what a connection has, and closes its socket.
func (l *Loop) giveBack(slot uint32, c *conn) {
	l.fan.Detach(slot)
	l.left(c)
	l.wheel.Clear(slot)
	l.deadlines.Clear(slot)
	l.dropInput(c)
	l.endHead(c)
	l.forgetInflow(slot)
	delete(l.pairs, slot)
	gone := l.newcomerOf(slot)
	if gone.why != admit.None {
		delete(l.refusals, slot)
	}
	if l.shared && l.via(slot)&viaTLS == 0 { // else the client would hear of it only when the other process closes its copy
		l.kernel.Shutdown(c.fd)
	}
	l.forgetPeer(slot)
	l.slots[c.fd] = 0
	l.kernel.CloseSocket(c.fd)
	*c = conn{generation: c.generation, flags: c.flags & flagAgain}
	l.free = append(l.free, slot)
	l.open--
	l.leave(gone)
}

// unsubscribe ends what the connection receives; what is in its lane still goes out.
func (l *Loop) unsubscribe(slot uint32, c *conn) {
	l.ended(slot)
	l.fan.Unsubscribe(slot)
	l.deadlines.Clear(slot)
	l.left(c)
}

// name notes whether the front wants to know when s ends.
func (c *conn) name(s *Subscription) {
	if s.Named {
		c.flags |= flagNamed
	}
}

// responded tells the front, if it wants to know, what became of a request whose
// response it did not return itself.
func (l *Loop) responded(c *conn, response []byte) {
	if l.observer != nil {
		l.observer.Responded(c.session, response)
	}
}

// left tells the front, if it wants to know, that the connection receives nothing more.
func (l *Loop) left(c *conn) {
	if c.flags&flagNamed != 0 {
		c.flags &^= flagNamed
		l.front.Left(c.session)
	}
}

// wait arms the connection's timer for n ticks from now.
func (l *Loop) wait(slot uint32, c *conn, n uint32) {
	l.wheel.Set(slot, l.tick+n)
}
