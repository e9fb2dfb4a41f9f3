package fanout_test

import (
	"fmt"
	"slices"

	"peal/loop/fanout"
	"peal/loop/ring"
)

func (s *sim) attach() *simClient {
	slot := s.next
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.next++
	}
	s.session++
	c := &simClient{name: fmt.Sprint("client", s.session), slot: slot, session: s.session, channels: map[string]bool{}, lost: map[string]uint64{}, quiet: map[string]uint64{}, had: map[string]uint64{}, skip: map[string]uint64{}, socket: &simSocket{room: s.rnd.IntN(400)}}
	if s.common && s.rnd.IntN(4) == 0 || s.whole && s.rnd.IntN(2) == 0 {
		c.socket.room = 1 << 20 // it must never be told of a gap
	}
	switch n := s.rnd.IntN(4); {
	case s.crowd && s.rnd.IntN(4) > 0:
		c.encoding = encLine
	case n == 0:
		c.encoding = encMute
	case n == 1:
		c.encoding = encPoll + ring.Encoding(s.rnd.IntN(2))
	}
	s.choose(c)
	s.clients[slot] = c
	s.out.sockets[c.conn()] = c.socket
	s.fan.Attach(c.conn(), c.session)
	c.id = ownID(c.session)
	return c
}

func (s *sim) choose(c *simClient) {
	clear(c.channels)
	for _, ch := range s.sets[s.rnd.IntN(len(s.sets))] {
		c.channels[ch] = true
	}
}

// start chooses where a subscription begins, sometimes ahead of this loop.
func (s *sim) start() (from fanout.From, at uint64) {
	from = fanout.From(s.rnd.IntN(4))
	if from == fanout.After {
		at = s.rnd.Uint64N(s.hist.head + 1)
		if applied := s.fan.Applied(); s.rnd.IntN(3) == 0 && s.hist.head > applied {
			at = applied + 1 + s.rnd.Uint64N(s.hist.head-applied)
		}
	}
	return from, at
}

// resubscribe gives a stream other channels. What was sent or half-sent for the
// old ones still arrives.
func (s *sim) resubscribe(c *simClient) {
	s.decode(c)
	s.unsubscribe(c)
	s.choose(c)
	from, at := s.start()
	s.note("%s changes to channels %v, from %d at %d", c.name, c.channels, from, at)
	s.subscribe(c, from, at)
}

func (s *sim) subscribe(c *simClient, from fanout.From, at uint64) {
	sub := &fanout.Subscription{Encoding: c.encoding, OneShot: c.encoding >= encPoll, From: from, Sequence: at, Count: 1 + s.rnd.IntN(12)}
	if c.encoding == encPoll1 {
		sub.Most = 1
	}
	clear(c.quiet)
	clear(c.lost)
	clear(c.had)
	clear(c.skip)
	for _, ch := range s.subscribable() {
		if c.channels[ch] {
			sub.Channels = append(sub.Channels, ch)
			if from == fanout.Earliest || from == fanout.Last {
				c.quiet[ch] = s.goneBefore(ch)
			}
		}
	}
	s.adopt(c)
	position, err := s.fan.Subscribe(c.slot, sub)
	if err != nil {
		s.fail("%s: subscribe: %v", c.name, err)
		return
	}
	if from == fanout.After && position != at || from == fanout.Now && position != s.hist.head {
		s.fail("%s: subscribed from %d at %d, head %d", c.name, position, at, s.hist.head)
	}
	if from == fanout.Earliest {
		for _, m := range s.hist.all[:position] {
			if c.wants(m) && s.retains(c, m) {
				s.fail("%s: the earliest is after %d, but %d on %s is retained", c.name, position, m.Sequence, m.Channel)
				break
			}
		}
	}
	if from == fanout.Last {
		n := 0
		for _, m := range s.hist.all[position:] {
			if c.wants(m) && s.retains(c, m) {
				n++
			}
		}
		if n > sub.Count {
			s.fail("%s: the last %d begin before the last %d", c.name, sub.Count, n)
		}
	}
	c.position = position
	c.parked = true
	c.abreast = (s.whole && c.encoding < encPoll || s.common && s.fan.Shares(c.slot)) && !s.few && from == fanout.Now && !c.socket.slow
}

// expire has the time of a poll be up.
func (s *sim) expire(c *simClient) {
	flying := s.out.flying(c.conn()) != nil
	expires := s.fan.Expire(c.slot)
	s.note("%s expires: %v", c.name, expires)
	switch {
	case !expires && !c.expired && !c.socket.full && !c.socket.dead:
		s.fail("%s: its time is up, but it is no waiting poll", c.name)
	case expires && flying:
		s.met.expire++
	}
	c.expired = c.expired || expires
}

func (s *sim) some() *simClient {
	if len(s.clients) == 0 {
		return nil
	}
	n := s.rnd.IntN(int(s.next))
	for i := range int(s.next) {
		if c := s.clients[uint32((n+i)%int(s.next))]; c != nil {
			return c
		}
	}
	return nil
}

func (s *sim) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

func (s *sim) publish() {
	m := &ring.Message{Sequence: s.hist.head + 1, Channel: s.names[s.rnd.IntN(len(s.names))]}
	if s.rnd.IntN(8) == 0 {
		m.Also = []string{s.names[s.rnd.IntN(len(s.names))], s.names[s.rnd.IntN(len(s.names))]}
	}
	if c := s.some(); c != nil && s.rnd.IntN(10) == 0 {
		m.Exclude = exclusion(c.id)
	} else if s.rnd.IntN(20) == 0 {
		m.Exclude = exclusion(s.anyID())
	}
	// duplicates among a message's channels are the publisher's to remove
	if s.common && s.rnd.IntN(2) == 0 {
		m.Channel = "A"
	}
	seen := map[string]bool{m.Channel: true}
	also := m.Also[:0]
	for _, c := range m.Also {
		if !seen[c] {
			also = append(also, c)
		}
		seen[c] = true
	}
	m.Also = also
	m.Size = len(text(m))
	s.hist.append(m)
	if s.past != nil {
		s.past.forget()
	}
	s.waiting = append(s.waiting, m)
}

func (s *sim) apply(n int) {
	for n = min(n, len(s.waiting)); n > 0 && s.fan.Room(); {
		part := 1 + s.rnd.IntN(n)
		if i := slices.IndexFunc(s.waiting[:part], func(m *ring.Message) bool { return m.Channel == lostChannel }); i >= 0 {
			part = i + 1
			s.fan.Apply(s.waiting[:i])
			s.fan.Lose(s.waiting[i].Sequence)
		} else {
			s.fan.Apply(s.waiting[:part])
		}
		s.waiting = s.waiting[part:]
		n -= part
	}
}

// unsubscribe ends the subscription of a stream.
func (s *sim) unsubscribe(c *simClient) {
	if q := s.out.flying(c.conn()); q != nil {
		q.old = true
		s.met.resubscribe++
	}
	half, _ := s.fan.Held(c.slot)
	c.socket.old, c.carried, c.changes = len(c.socket.arrived)+half, nil, nil
	s.fan.Unsubscribe(c.slot)
}

func (s *sim) flush(n int) {
	s.out.turn++
	if !s.fan.Flush(n) {
		s.idle()
	}
}

// howMany is how many clients something happens to at a time.
func (s *sim) howMany() int {
	if s.crowd {
		return 1 + s.rnd.IntN(s.most/2)
	}
	return 1
}

func (s *sim) room(c *simClient) {
	if c == nil {
		return
	}
	c.socket.room += s.rnd.IntN(200)
	s.note("%s gets room", c.name)
	if c.socket.full && c.socket.room > 0 {
		c.socket.full, c.socket.sealed = false, false
		s.fan.Writable(c.slot)
	}
}

func (s *sim) die(c *simClient) {
	if c == nil {
		return
	}
	s.note("%s dies", c.name)
	if s.rnd.IntN(2) == 0 {
		c.socket.dead = true // found out by the next send
	} else {
		s.drop(c)
	}
}
