package loop

import (
	"slices"
	"sync/atomic"

	"peal/loop/fanout"
)

// A turn looks at so many connections for those that are to be dismissed, and
// ends so many of them. With its front asked about each that is 0.1 ms of looks
// (BenchmarkDismiss of server/httpapi), and about 1 ms of sends.
const (
	dismissLooks = 1024
	dismissEnds  = 128
)

// maxDismissals is how many calls of Dismiss may be under way.
const maxDismissals = 64

// Ending is what a client receives whose connection is dismissed: a WebSocket the code
// and the reason in its close frame, a poll a response with which the encoder expresses
// Cause (fanout.Answer.Ended). An event stream just ends: its client learns the rest
// when it comes back. Endings are immutable and may be shared.
type Ending struct {
	Code   uint16
	Reason string
	Cause  any // not nil
}

// dismissal is one call of Dismiss on its way through the connections of a loop.
type dismissal struct {
	pick  func(slot uint32, c *conn) *Ending
	done  func(ended int)
	next  uint32 // slot
	ended int
}

// Dismiss ends the connections for which pick returns an Ending, among those with a
// name (Subscription.Named). It reports false, and does nothing, when too many calls
// are under way.
//
// It looks at each connection there is, in bounded turns: one that is named
// after the call may be missed. pick runs on the goroutine of the loop whose
// front it gets, and is called once for a connection that it chooses. done is
// called once, on one of these goroutines, with how many have been ended; when
// the loops end before, never. Any goroutine may call Dismiss; it does not block.
func (g *Group) Dismiss(pick func(front Front, session uint64) *Ending, done func(ended int)) bool {
	return g.dismiss(func(l *Loop) func(uint32, *conn) *Ending {
		return func(_ uint32, c *conn) *Ending {
			if c.flags&flagNamed == 0 {
				return nil
			}
			return pick(l.front, c.session)
		}
	}, done)
}

// DismissReaders is Dismiss for all streams and polls that have channels, which pick gets. It
// looks at the channels of each connection, and is for what happens rarely.
func (g *Group) DismissReaders(pick func(front Front, session uint64, channels []string) *Ending, done func(ended int)) bool {
	return g.dismiss(func(l *Loop) func(uint32, *conn) *Ending {
		var channels []string
		return func(slot uint32, c *conn) *Ending {
			if c.state != stateParked && !c.isOpen() {
				return nil
			}
			if channels = l.fan.Channels(channels[:0], slot); len(channels) == 0 {
				return nil
			}
			return pick(l.front, c.session, channels)
		}
	}, done)
}

func (g *Group) dismiss(pick func(l *Loop) func(slot uint32, c *conn) *Ending, done func(ended int)) bool {
	if g.dismissals.Add(1) > maxDismissals {
		g.dismissals.Add(-1)
		return false
	}
	var ended, finished atomic.Int32
	for _, l := range g.loops {
		d := &dismissal{
			pick: pick(l),
			done: func(n int) {
				ended.Add(int32(n)) // before finished: who comes last sees them all
				if finished.Add(1) == int32(len(g.loops)) {
					g.dismissals.Add(-1)
					done(int(ended.Load()))
				}
			},
		}
		l.Post(func() {
			l.dismissals = append(l.dismissals, d)
			l.scheduleTurn()
		})
	}
	return true
}

// dismiss does one turn's part of the oldest dismissal. more says that some is left.
func (l *Loop) dismiss() (more bool) {
	if len(l.dismissals) == 0 {
		return false
	}
	d := l.dismissals[0]
	most := d.ended + dismissEnds
	for end := min(d.next+dismissLooks, l.used); d.next < end && d.ended < most; d.next++ {
		c := l.conn(d.next)
		if e := d.pick(d.next, c); e != nil {
			l.dismissOne(d.next, c, e)
			d.ended++
		}
	}
	if d.next >= l.used {
		l.dismissals = slices.Delete(l.dismissals, 0, 1)
		d.done(d.ended)
	}
	return len(l.dismissals) > 0
}

func (l *Loop) dismissOne(slot uint32, c *conn, e *Ending) {
	l.counts.dismissed++
	l.noteEnd(slot, c, e.Code, e.Reason)
	if c.state != stateParked {
		l.closeStream(slot, c, e.Code, e.Reason)
		return
	}
	if l.fan.Width(slot) == 0 { // its answer is on the way: Answered follows, and then the end
		c.flags |= flagCloseNext
		return
	}
	l.ending(slot, e.Code, "closed with ")
	a := fanout.Answer{Ended: e.Cause, Close: true, HeadOnly: l.fan.HeadOnly(slot), Origin: l.fan.Origin(slot)}
	l.unsubscribe(slot, c)
	c.state = stateHTTP
	c.flags |= flagCloseNext
	out := l.encoder.AppendAnswer(nil, c.dialect, a)
	l.responded(c, out)
	l.sendOut(slot, c, out)
	if c.state == stateHTTP && c.flags&flagAnswering == 0 {
		l.linger(slot, c)
	}
}
