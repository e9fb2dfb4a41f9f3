package room

import (
	"slices"
	"time"

	"peal/loop"
	"peal/server/app"
	"peal/server/pusher"
)

// Limits of one call of Recount: each look takes the lock of the hub, each write a visit to a
// connection.
const (
	countLooks  = 256
	countWrites = 256
)

// The least time between two counts that are sent for a channel, and for one with many subscribers. Those of the service are the same.
const (
	countPause     = time.Second
	countManyPause = 5 * time.Second
	countMany      = 100
)

// counting is the subscriptions whose clients receive the number of subscribers of their channel: those of
// apps with SubscriptionCount. It belongs to its loop.
type counting struct {
	channels map[string]*counted
	places   map[uint64][]place // by session
	turns    []*counted         // all channels
	at       int                // in turns
}

// counted is one channel.
type counted struct {
	name  string // with the namespace
	turn  int    // place in counting.turns
	told  int
	due   time.Duration // not looked at before
	next  int           // of to, in the round under way; len(to): there is none
	to    []counter
	again bool // one of to may have been passed over in the round
}

type counter struct {
	session uint64
	ref     loop.Ref
}

type place struct {
	channel *counted
	at      int // in its list
}

// add notes that the client has been told the number of subscribers of a channel.
func (g *counting) add(c loop.Client, name string, told int) {
	if g.channels == nil {
		g.channels, g.places = map[string]*counted{}, map[uint64][]place{}
	}
	session := c.Session()
	g.remove(session, name)
	k := g.channels[name]
	if k == nil {
		k = &counted{name: name, turn: len(g.turns), told: told}
		g.channels[name] = k
		g.turns = append(g.turns, k)
	}
	round := k.next < len(k.to)
	g.places[session] = append(g.places[session], place{k, len(k.to)})
	if k.to = append(k.to, counter{session, c.Ref()}); !round {
		k.next = len(k.to)
	}
}

// remove forgets a subscription, if it is there.
func (g *counting) remove(session uint64, name string) {
	all := g.places[session]
	i := slices.IndexFunc(all, func(p place) bool { return p.channel.name == name })
	if i < 0 {
		return
	}
	g.take(all[i])
	if all = slices.Delete(all, i, i+1); len(all) == 0 {
		delete(g.places, session)
	} else {
		g.places[session] = all
	}
}

// left forgets all subscriptions of a session.
func (g *counting) left(session uint64) {
	for _, p := range g.places[session] {
		g.take(p)
	}
	delete(g.places, session)
}

// take takes a subscription off its channel, whose last one has its place then.
func (g *counting) take(p place) {
	k, last := p.channel, len(p.channel.to)-1
	if p.at != last {
		moved := k.to[last]
		k.to[p.at] = moved
		all := g.places[moved.session]
		all[slices.IndexFunc(all, func(o place) bool { return o.channel == k })].at = p.at
		k.again = k.again || p.at < k.next && k.next <= last
	}
	k.to = k.to[:last]
	if k.next = min(k.next, last); last > 0 {
		return
	}
	delete(g.channels, k.name)
	end := len(g.turns) - 1
	g.turns[k.turn] = g.turns[end]
	g.turns[k.turn].turn = k.turn
	g.turns = g.turns[:end]
}

// Recount tells clients how many subscribers their channels have, where that has changed. It does a
// limited amount of work and goes on in the next call. now is a clock that does not go back.
func (r *Room) Recount(now time.Duration) {
	g, writes := &r.counting, countWrites
	for range min(len(g.turns), countLooks) {
		if g.at >= len(g.turns) {
			g.at = 0
		}
		k := g.turns[g.at]
		if k.next >= len(k.to) && now >= k.due {
			info, _ := r.Desk.Hub.Channel(k.name)
			if info.Subscribers != k.told || k.again {
				k.told, k.next, k.again = info.Subscribers, 0, false
				if k.due = now + countPause; k.told > countMany {
					k.due = now + countManyPause
				}
			}
		}
		frame := pusher.AppendCount(nil, app.Name(k.name), k.told)
		for ; k.next < len(k.to) && writes > 0; k.next++ {
			writes--
			r.Door.Do(k.to[k.next].ref, func(c loop.Client) {
				if _, caughtUp := c.Position(); caughtUp { // else the next number does
					c.Write(frame)
				}
			})
		}
		if k.next < len(k.to) {
			return
		}
		g.at++
	}
}
