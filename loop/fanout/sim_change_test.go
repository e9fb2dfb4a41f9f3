package fanout_test

import (
	"maps"
	"slices"
	"strconv"

	"peal/loop/fanout"
)

// Subscriptions that change while their stream continues, and the gaps of slow
// consumers by the policies of their channels.

// change adds channels to a stream, or drops some. While bytes are with the sender
// the client knows of the change when what it takes of them has arrived: by then it
// has all of the channels before up to there.
func (s *sim) change(c *simClient) {
	s.decode(c)
	flying := s.out.flying(c.conn()) != nil
	base := s.fan.Position(c.slot)
	if half, _ := s.fan.Held(c.slot); c.parked && !flying {
		s.checkBase(c, base, half > 0)
	}
	var names, others []string
	for _, n := range s.subscribable() {
		if s.rnd.IntN(3) == 0 {
			names = append(names, n)
		} else {
			others = append(others, n)
		}
	}
	if len(names) == 0 || c.socket.dead {
		return
	}
	var known func(base uint64)
	if s.rnd.IntN(3) == 0 {
		s.note("%s drops %v", c.name, names)
		s.fan.Drop(c.slot, names)
		known = func(base uint64) {
			for _, n := range names {
				delete(c.channels, n)
				delete(c.carrying, n)
				c.forget(n)
			}
			c.position = base // the half-sent message, if there is one, counts as arrived
		}
	} else {
		known = s.add(c, names)
	}
	s.changes++
	c.abreast = false
	if flying {
		s.met.change++
		if len(c.changes) == 0 {
			c.base = base
		}
		c.changes = append(c.changes, func(base uint64) { s.changed(c, known, base, others) })
		return
	}
	s.changed(c, known, base, others)
}

// changed has the client know of a change that was made when it had all up to base.
func (s *sim) changed(c *simClient, known func(base uint64), base uint64, others []string) {
	half, _ := s.fan.Held(c.slot)
	known(base)
	if c.decoded < c.socket.old { // what is still to come was on its way at the change before
		others = slices.DeleteFunc(others, func(n string) bool { return !slices.Contains(c.carried, n) })
	}
	c.socket.old, c.carried = len(c.socket.arrived)+half, others
}

// settle has the client know of the changes that were made while q was on its way.
func (s *sim) settle(c *simClient, q *send) {
	s.decode(c)
	base := max(c.base, c.position, q.reached())
	half, _ := s.fan.Held(c.slot)
	s.checkBase(c, base, half > 0)
	c.reached, c.carrying = base, maps.Clone(c.channels)
	for _, changed := range c.changes {
		changed(base)
		base = c.position
	}
	c.changes, c.carrying = nil, nil
}

// add is change to further channels, some of which it may have already.
func (s *sim) add(c *simClient, names []string) (known func(base uint64)) {
	from, at := s.start()
	claimed := s.fan.Position(c.slot)
	s.note("%s adds %v, from %d at %d", c.name, names, from, at)
	start := s.fan.Add(c.slot, &fanout.Subscription{Channels: names, Encoding: c.encoding, From: from, Sequence: at, Count: 1 + s.rnd.IntN(12)})
	if from == fanout.After && start != at || from == fanout.Now && start != s.hist.head {
		s.fail("%s: added from %d at %d, but starts at %d, head %d", c.name, from, at, start, s.hist.head)
	}
	gone := map[string]uint64{}
	for _, n := range names {
		gone[n] = s.goneBefore(n)
	}
	return func(base uint64) {
		first := len(c.channels) == 0
		for n := range c.channels {
			had := claimed
			if c.carrying[n] {
				had = c.reached
			}
			c.had[n] = max(c.had[n], had)
		}
		for _, n := range names {
			c.channels[n] = true
			delete(c.carrying, n)
			c.forget(n)
			if from == fanout.After {
				c.had[n] = start
			} else {
				c.skip[n] = start
			}
			if from == fanout.Earliest || from == fanout.Last {
				c.quiet[n] = gone[n]
			}
		}
		if c.position = min(base, start); first {
			c.position = start
		}
		c.parked = true
	}
}

func (c *simClient) forget(channel string) {
	for _, m := range []map[string]uint64{c.had, c.skip, c.quiet, c.lost} {
		delete(m, channel)
	}
}

// checkBase checks that everything up to the position that the fan claims has
// arrived, but for the message that is half-sent.
func (s *sim) checkBase(c *simClient, base uint64, half bool) {
	if x := s.missing(c, c.position, base+1); x != nil && !(half && s.missing(c, x.Sequence, base+1) == nil) {
		s.fail("%s: the fan says it has all up to %d, but %d on %s did not come", c.name, base, x.Sequence, x.Channel)
	}
}

// checkSkip checks the notice of a slow consumer: w is G, channel, from, to, passed.
func (s *sim) checkSkip(c *simClient, w []string) {
	from, _ := strconv.ParseUint(w[2], 10, 64)
	to, _ := strconv.ParseUint(w[3], 10, 64)
	passed, _ := strconv.Atoi(w[4])
	if s.policies[w[1]] != fanout.Latest || !c.socket.slow {
		s.fail("%s: passed over %d on %s, though it is not slow, or must have everything", c.name, passed, w[1])
	}
	n := 0
	for _, m := range s.hist.all[from:to] {
		if isOn(m, w[1]) {
			n++
		}
	}
	if n == 0 || passed > n {
		s.fail("%s: told that %d on %s in (%d, %d] were passed over, of %d there are", c.name, passed, w[1], from, to, n)
	}
	s.skips++
}
