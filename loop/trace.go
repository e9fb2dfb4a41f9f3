package loop

import (
	"context"
	"math"
	"net/netip"
	"strconv"
	"sync/atomic"

	"peal/loop/fanout"
)

// Tracer hears what becomes of the connections of one loop that receive, in places that no delivery
// passes: when a subscription begins, changes and ends, at gaps, pings and pongs. All methods run on
// the goroutine of the loop and must not block; slices are lent. covered and unsure are as in
// fanout.Fan.Covered.
type Tracer interface {
	fanout.Tracer

	// Joined: a connection receives further channels; with none in Sub, it has become a stream.
	Joined(slot uint32, j *Joined)

	// Dropped: it does not receive those channels any more.
	Dropped(slot uint32, channels []string, covered, unsure uint64)

	// Pinged: a ping with that position goes out, behind everything up to there. Ponged: a pong has come.
	Pinged(slot uint32, position uint64)
	Ponged(slot uint32, payload []byte)

	// Ending is why a connection is about to end, Ended that it receives nothing more. Ended also comes for
	// connections that have never received.
	Ending(slot uint32, why string)
	Ended(slot uint32, covered, unsure uint64)
}

// Joined is a subscription as a Tracer hears of it.
type Joined struct {
	Session uint64
	Peer    netip.AddrPort // of the client, or of the proxy before it
	Proxied bool           // a trusted proxy is before the client, so the connection may have requests of several
	Sub     *Subscription
	Start   uint64   // nothing up to here is sent
	Told    []uint64 // fanout.Fan.ToldUpTo
	Carried bool     // from another process: what it was sent before is not known here. Sub has its channels and who it is

	Covered, Unsure uint64 // before it
}

// coverage is what a connection was sent before its subscription changes.
type coverage struct{ covered, unsure uint64 }

func (l *Loop) coverage(slot uint32) (c coverage) {
	if l.tracer != nil {
		c.covered, c.unsure = l.fan.Covered(slot)
	}
	return c
}

// joined reports a subscription that began with start.
func (l *Loop) joined(slot uint32, s *Subscription, start uint64, before coverage) {
	if l.tracer == nil {
		return
	}
	j := Joined{
		Session: l.conn(slot).session, Peer: l.peer(slot).addrPort(), Proxied: l.via(slot)&viaTrusted != 0,
		Sub: s, Start: start, Covered: before.covered, Unsure: before.unsure,
	}
	if s.From != fanout.Now && s.From != fanout.After {
		j.Told = l.fan.ToldUpTo(slot, s.Channels)
	}
	l.tracer.Joined(slot, &j)
}

// carried reports a connection of another process that receives.
func (l *Loop) carried(slot uint32) {
	c := l.conn(slot)
	if l.tracer == nil || c.state != stateParked && c.state != stateSSE && c.state != stateWS {
		return
	}
	l.tracer.Joined(slot, &Joined{
		Session: c.session, Peer: l.peer(slot).addrPort(), Proxied: l.via(slot)&viaTrusted != 0, Carried: true,
		Sub: &Subscription{
			Subscription: fanout.Subscription{Channels: l.fan.FirstChannels(nil, slot, math.MaxInt), OneShot: c.state == stateParked},
			Dialect:      c.dialect, Adopt: l.fan.Adopted(slot),
		},
	})
}

// streams reports that the connection has become a stream that is on no channel yet.
func (l *Loop) streams(slot uint32, s *Subscription) {
	if l.tracer != nil {
		none := *s
		none.Channels = nil
		l.joined(slot, &none, 0, coverage{})
	}
}

func (l *Loop) dropped(slot uint32, channels []string) {
	if l.tracer != nil {
		covered, unsure := l.fan.Covered(slot)
		l.tracer.Dropped(slot, channels, covered, unsure)
	}
}

func (l *Loop) pinged(slot uint32, position uint64) {
	if l.tracer != nil {
		l.tracer.Pinged(slot, position)
	}
}

func (l *Loop) ponged(slot uint32, payload []byte) {
	if l.tracer != nil {
		l.tracer.Ponged(slot, payload)
	}
}

// ending reports that the server closes a connection with a code, or for another reason.
func (l *Loop) ending(slot uint32, code uint16, why string) {
	if l.tracer == nil {
		return
	}
	if code != 0 {
		why += strconv.Itoa(int(code))
	}
	l.tracer.Ending(slot, why)
}

func (l *Loop) ended(slot uint32) {
	if l.tracer != nil {
		covered, unsure := l.fan.Covered(slot)
		l.tracer.Ended(slot, covered, unsure)
	}
}

// Survey calls f on each loop, with its number, until it returns false there: each time in a task of its
// own, between which the loop serves its connections. covered is that of an open connection of the loop. It
// waits, at most until ctx ends: what f writes may be read only if the error is nil. Any goroutine may call it.
func (g *Group) Survey(ctx context.Context, f func(loop int, covered func(slot uint32) uint64) (more bool)) error {
	done := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		var step func()
		covered := func(slot uint32) uint64 {
			at, _ := l.fan.Covered(slot)
			return at
		}
		step = func() {
			if ctx.Err() == nil && f(int(l.number), covered) {
				l.Post(step)
				return
			}
			done <- struct{}{}
		}
		l.Post(step)
	}
	for range g.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// handedTries is how often Handed looks at a loop before it gives up waiting for it.
const handedTries = 100

// Handed calls done, once and on any goroutine, when all loops have taken what the ring has up to that sequence, and
// handed it to the sockets that had room; or soon after, if a loop is too busy for it. Any goroutine may call it; it is for a few at a
// time.
func (g *Group) Handed(sequence uint64, done func()) {
	var left atomic.Int32
	left.Store(int32(len(g.loops)))
	for _, l := range g.loops {
		tries := 0
		var look func()
		look = func() {
			if tries++; tries < handedTries && (l.fan.Applied() < sequence && l.ring.Waiting() || l.fan.Pending()) {
				l.scheduleTurn()
				l.Post(look)
				return
			}
			if left.Add(-1) == 0 {
				done()
			}
		}
		l.Post(look)
	}
}
