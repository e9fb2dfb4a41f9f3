package loop

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"peal/loop/heavy"
)

// talk counts what clients send, while somebody asks for those that send the most.
type talk struct {
	until, since uint32 // ticks: after until nobody asks any more
	heavy.Hitters[voice]
}

// voice is a connection that has sent something.
type voice struct {
	session uint64
	slot    uint32
}

const (
	// mostTalkers is how many connections a loop counts at a time, in about 20 KiB.
	mostTalkers = 256

	// talkFor is how long a loop goes on counting after somebody has asked.
	talkFor = 15 * time.Second
)

// Talker is a connection that sends.
type Talker struct {
	Session  uint64
	Peer     netip.AddrPort
	Messages uint64 // and requests
	Bytes    uint64
	Name     string // Namer
}

// spoke counts one message or request of so many bytes. Callers look whether there
// is somebody to count for.
func (l *Loop) spoke(slot uint32, c *conn, bytes int) {
	if t := l.life.talk; l.tick > t.until {
		l.life.talk = nil
	} else {
		t.Add(voice{c.session, slot}, bytes, nil)
	}
}

// Talkers returns the connections that have sent most since the last call, at most
// most, and how long ago that was: 0 if it was the first in the last 15 seconds, for which loops
// go on counting. Connections that have closed since are left out.
func (g *Group) Talkers(ctx context.Context, most int) (all []Talker, since time.Duration, err error) {
	each := make([][]Talker, len(g.loops))
	times := make([]time.Duration, len(g.loops))
	err = g.each(ctx, func(l *Loop) {
		if t := l.life.talk; t != nil && l.tick <= t.until {
			each[l.number], times[l.number] = l.talkers(t, most), time.Duration(l.tick-t.since)*tick
		}
		l.life.talk = &talk{until: l.tick + ticks(talkFor), since: l.tick, Hitters: heavy.Hitters[voice]{Most: mostTalkers}}
	})
	if err != nil {
		return nil, 0, err // a loop may write its own later
	}
	all = slices.Concat(each...)
	slices.SortStableFunc(all, func(a, b Talker) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Messages, a.Messages))
	})
	return all[:min(most, len(all))], slices.Max(times), nil
}

func (l *Loop) talkers(t *talk, most int) (all []Talker) {
	for _, n := range t.Top(most, func(v voice) bool { return l.conn(v.slot).session == v.session }) {
		one := Talker{Session: n.Key.session, Peer: l.peer(n.Key.slot).addrPort(), Messages: n.Items, Bytes: n.Bytes}
		if l.namer != nil && l.conn(n.Key.slot).flags&flagNamed != 0 {
			one.Name = l.namer.NameOf(one.Session)
		}
		all = append(all, one)
	}
	return all
}
