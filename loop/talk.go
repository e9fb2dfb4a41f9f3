package loop

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// talk counts what clients send, while somebody asks for those that send the most. It has
// the heaviest of them only: one that is not counted takes the place, and the
// numbers, of the lightest (the space-saving algorithm of Metwally, Agrawal and El Abbadi, 2005),
// so a number is at most too great by what the lightest has.
type talk struct {
	until uint32 // tick after which nobody asks any more
	since uint32
	all   []Talker
	place map[uint64]int // by session
}

// mostTalkers is how many are counted; with their map about 40 KiB.
const mostTalkers = 256

// talkFor is how long a loop goes on counting after somebody has asked.
const talkFor = 15 * time.Second

// Talker is a connection that sends.
type Talker struct {
	Session  uint64
	Peer     netip.AddrPort
	Messages uint64 // and requests
	Bytes    uint64
	Name     string // Namer
	slot     uint32
}

func (t *Talker) weight() uint64 { return t.Bytes + 64*t.Messages }

// spoke counts one message or request of so many bytes. Callers look whether there
// is somebody to count for.
func (l *Loop) spoke(slot uint32, c *conn, bytes int) {
	t := l.life.talk
	if l.tick > t.until {
		l.life.talk = nil
		return
	}
	i, ok := t.place[c.session]
	switch {
	case ok:
	case len(t.all) < mostTalkers:
		i = len(t.all)
		t.all = append(t.all, Talker{Session: c.session, slot: slot})
		t.place[c.session] = i
	default:
		for k := range t.all {
			if t.all[k].weight() < t.all[i].weight() {
				i = k
			}
		}
		delete(t.place, t.all[i].Session)
		t.place[c.session] = i
		t.all[i].Session, t.all[i].slot = c.session, slot
	}
	t.all[i].Messages++
	t.all[i].Bytes += uint64(bytes)
}

// Talkers returns the connections that have sent most since the last call, at most
// most of each loop, and how long ago that was: 0 for the first call, after which the loops
// count for 15 seconds. Connections that have closed since are left out.
func (g *Group) Talkers(ctx context.Context, most int) (all []Talker, since time.Duration, err error) {
	each := make([][]Talker, len(g.loops))
	times := make([]time.Duration, len(g.loops))
	err = g.each(ctx, func(l *Loop) {
		if t := l.life.talk; t != nil && l.tick <= t.until {
			each[l.number], times[l.number] = l.talkers(t, most), time.Duration(l.tick-t.since)*tick
		}
		l.life.talk = &talk{until: l.tick + ticks(talkFor), since: l.tick, place: map[uint64]int{}}
	})
	if err != nil {
		return nil, 0, err // a loop may write its own later
	}
	all = slices.Concat(each...)
	slices.SortFunc(all, heavier)
	return all[:min(most, len(all))], slices.Max(times), nil
}

// heavier orders by bytes and messages, and then by session.
func heavier(a, b Talker) int {
	switch wa, wb := a.weight(), b.weight(); {
	case wa > wb, wa == wb && a.Session < b.Session:
		return -1
	case wa == wb && a.Session == b.Session:
		return 0
	}
	return 1
}

func (l *Loop) talkers(t *talk, most int) []Talker {
	t.all = slices.DeleteFunc(t.all, func(one Talker) bool { return l.conn(one.slot).session != one.Session })
	slices.SortFunc(t.all, heavier)
	t.all = t.all[:min(most, len(t.all))]
	for i := range t.all {
		one := &t.all[i]
		one.Peer = l.peer(one.slot).addrPort()
		if l.namer != nil && l.conn(one.slot).flags&flagNamed != 0 {
			one.Name = l.namer.NameOf(one.Session)
		}
	}
	return t.all
}
