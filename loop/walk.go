package loop

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// One step of a walk visits so many slots, and describes so many of the connections that
// it finds. Other work of the loop goes on between two steps, and at most one step, of
// all walks together, is under way.
const (
	walkLooks = 1024
	walkFinds = 32
)

// What that costs, in units of work: slots to a unit, and units for each that is described.
const (
	walkUnit  = 10
	workFound = 4
)

// MaxWalks is how many calls of Walk may be under way; MostSeen is how many connections one
// call returns.
const (
	MaxWalks = 8
	MostSeen = 1000
)

// ErrWalks: MaxWalks calls of Walk are under way.
var ErrWalks = errors.New("loop: too many walks over the connections are under way")

// Place is where a connection is in the order of walks. It does not change while the
// connection is open; when it has closed, another one may have it.
type Place struct {
	Loop uint16
	Slot uint32
}

// Walk is what to look for among the connections. Zero values look for all of them. Its
// functions run on the goroutine of the loop of the connection; they must not block, and may
// still be called shortly after the walk has returned an error.
type Walk struct {
	From    Place // the first place to look at
	Limit   int   // connections to return, 1 to MostSeen
	Names   int   // names of channels in each of them
	Session uint64
	Adopted *[16]byte                // only the one that goes by this id of an earlier session
	Behind  bool                     // only those whose socket has not taken all there is
	Channel string                   // that it has subscribed to under this name
	Address func(netip.Addr) bool    // of the client; not valid over a Unix socket
	Pick    func(Front, uint64) bool // asked about the session of each connection that is named
	Tell    func(Front, *Seen)       // adds About
}

// Seen is a connection as a walk has found it. Its strings are shared and immutable.
type Seen struct {
	Place     Place
	Session   uint64
	Peer      netip.AddrPort // of the client; not valid for a Unix socket
	Proxy     netip.AddrPort // the trusted proxy that named Peer, while the loop remembers it
	Secure    bool
	Trusted   bool // the peer is a trusted proxy, or was named by one
	Transport string
	State     string
	Dialect   ring.Encoding // unless Transport is HTTP
	Age       time.Duration // since it was accepted; negative if that is not known
	Silent    time.Duration // since its last input, in whole seconds
	Missed    int           // heartbeats without a sign of life
	Replies   int           // that are still to come
	Input     int           // bytes that were read and not used yet
	Adopted   *[16]byte     // the id of an earlier session that it goes by; nil
	Channels  []string      // sorted, at most Walk.Names
	Width     int           // how many channels it has
	Standing  fanout.Standing
	Traffic   Traffic
	Gap       *GapSeen // the newest one, if the loop still remembers it
	About     any      // from Walk.Tell
}

// Transports of Seen and Ended.
const (
	OverWebSocket = "websocket"
	OverSSE       = "sse"
	OverPoll      = "poll"
	OverHTTP      = "http"
)

// transportOf is what the connection is at the moment, and what it does.
func (c *conn) transportOf() (transport, state string) {
	switch c.state {
	case stateWS:
		return OverWebSocket, "open"
	case stateWSClosing:
		return OverWebSocket, "closing"
	case stateSSE:
		if !c.isOpen() {
			return OverSSE, "closing"
		}
		return OverSSE, "open"
	case stateParked:
		return OverPoll, "open"
	case stateLater, stateWaiting:
		return OverHTTP, "waiting for its response"
	case stateLinger:
		return OverHTTP, "closing"
	}
	if c.flags&flagAnswering != 0 {
		return OverHTTP, "receiving a response"
	}
	if c.flags&flagHead != 0 {
		return OverHTTP, "sending a request"
	}
	return OverHTTP, "idle"
}

// Walk looks at the connections in the order of their places, and returns the first
// w.Limit that are looked for; more says that there may be others, which a walk from
// next finds. A connection that is open for the whole time, over several calls, is found once; one
// that begins or ends meanwhile may be missed.
//
// It visits a bounded number of slots in each turn of a loop and waits between them, so the
// caller waits for all loops one after the other. It costs nothing while nobody calls it.
func (g *Group) Walk(ctx context.Context, w Walk) (found []Seen, next Place, more bool, err error) {
	if g.walks.Add(1) > MaxWalks {
		g.walks.Add(-1)
		return nil, w.From, false, ErrWalks
	}
	defer g.walks.Add(-1)
	w.Limit = max(1, min(w.Limit, MostSeen))
	next = w.From
	for int(next.Loop) < len(g.loops) {
		l, slot, room := g.loops[next.Loop], next.Slot, w.Limit-len(found) // not the results, which change while a step that nobody waits for runs
		r, err := g.step(ctx, l, func() step { return l.walk(&w, slot, room) })
		if err != nil {
			return nil, next, false, err
		}
		found = append(found, r.found...)
		next.Slot = r.next
		if r.done {
			next = Place{Loop: next.Loop + 1}
		}
		if w.Session != 0 && len(found) > 0 {
			return found, next, false, nil
		}
		if len(found) == w.Limit {
			return found, next, int(next.Loop) < len(g.loops), nil
		}
	}
	return found, next, false, nil
}

// step is what came of one step.
type step struct {
	found []Seen
	next  uint32
	done  bool // the loop has no more
}

// step runs do on the loop, when no other step is under way, and waits for it.
func (g *Group) step(ctx context.Context, l *Loop, do func() step) (r step, err error) {
	select {
	case g.stepping <- struct{}{}:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	done := make(chan step, 1)
	l.Post(func() {
		defer func() { <-g.stepping }()
		if ctx.Err() == nil { // else nobody waits
			done <- do()
		}
	})
	select {
	case r = <-done:
		return r, nil
	case <-ctx.Done():
		return r, ctx.Err()
	}
}

// walk does one step from slot on. Room is how many connections may still be found.
func (l *Loop) walk(w *Walk, slot uint32, room int) (r step) {
	from, end := slot, min(slot+walkLooks, l.used)
	room = min(room, walkFinds)
	for ; slot < end && len(r.found) < room; slot++ {
		if c := l.conn(slot); l.wanted(w, slot, c) {
			r.found = append(r.found, l.see(w, slot, c))
		}
	}
	l.spend(int(slot-min(slot, from))/walkUnit + len(r.found)*workFound)
	r.next, r.done = slot, slot >= l.used
	return r
}

// wanted reports whether the walk looks for the connection.
func (l *Loop) wanted(w *Walk, slot uint32, c *conn) bool {
	switch {
	case c.state == stateFree:
	case w.Session != 0 && c.session != w.Session:
	case w.Address != nil && !w.Address(l.peer(slot).addrPort().Addr()):
	case w.Behind && l.fan.CaughtUp(slot):
	case w.Adopted != nil && !l.fan.GoesBy(slot, w.Adopted):
	case w.Channel != "" && !l.fan.Receives(slot, w.Channel):
	case w.Pick != nil && (c.flags&flagNamed == 0 || !w.Pick(l.front, c.session)):
	default:
		return true
	}
	return false
}

// see describes the connection.
func (l *Loop) see(w *Walk, slot uint32, c *conn) Seen {
	v := l.via(slot)
	s := Seen{
		Place:   Place{l.number, slot},
		Session: c.session,
		Peer:    l.peer(slot).addrPort(),
		Secure:  v&viaTLS != 0,
		Trusted: v&viaTrusted != 0,
		Dialect: c.dialect,
		Age:     l.ageOf(c.session),
		Silent:  time.Duration(l.tick-min(l.tick, c.seen)) * tick,
		Missed:  int(c.missed),
		Replies: int(c.late),
		Input:   len(l.inputOf(c)),
		Gap:     l.gapOf(c.session),
	}
	if v&viaClient != 0 {
		s.Proxy = l.proxies[slot].addrPort()
	}
	if s.Replies >= maxLate { // Client.Hold counts as many
		s.Replies -= maxLate
	}
	s.Transport, s.State = c.transportOf()
	s.Adopted = l.fan.Adopted(slot)
	if s.Width = l.fan.Width(slot); s.Width > 0 {
		s.Channels = l.fan.FirstChannels(nil, slot, w.Names)
	}
	s.Standing = l.fan.Standing(slot)
	if l.traffic != nil {
		s.Traffic, _ = l.traffic(c.fd)
	}
	if w.Tell != nil {
		w.Tell(l.front, &s)
	}
	return s
}

// End ends the connection of a session, whatever it is: a stream or a poll as Dismiss does,
// any other at once. It reports whether there was one.
func (g *Group) End(ctx context.Context, session uint64, e *Ending) (ended bool, err error) {
	found, _, _, err := g.Walk(ctx, Walk{Session: session, Limit: 1})
	if err != nil || len(found) == 0 {
		return false, err
	}
	l, slot := g.loops[found[0].Place.Loop], found[0].Place.Slot
	done := make(chan bool, 1)
	l.Post(func() {
		c := l.conn(slot)
		if c.session != session || c.state == stateFree || c.state == stateLinger || c.state == stateWSClosing {
			done <- false
			return
		}
		if c.state == stateParked || c.isOpen() {
			l.dismissOne(slot, c, e)
		} else {
			l.close(slot, c)
		}
		done <- true
	})
	select {
	case ended = <-done:
		return ended, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
