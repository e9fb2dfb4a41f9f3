package fanout_test

import (
	"strings"

	"peal/loop/fanout"
)

// Events of the fan.
func (s *sim) Lost(slot uint32, err error) { s.drop(s.clients[slot]) }
func (s *sim) Idle(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	c.idle = false
	if c.closing {
		s.ended(c)
		return
	}
	if c.encoding >= encPoll && !c.parked && s.rnd.IntN(4) > 0 {
		if s.rnd.IntN(3) == 0 {
			s.write(c, true) // the response to a request before this one
		}
		if c.gone {
			return
		}
		s.subscribe(c, fanout.After, c.position)
		if s.rnd.IntN(4) == 0 { // the client has ended its side
			s.expire(c)
		}
	}
}
func (s *sim) Answered(slot uint32, session uint64) {
	if s.clients[slot].session != session {
		s.fail("answered: wrong session")
	}
	s.clients[slot].parked, s.clients[slot].expired = false, false
}
func (s *sim) Gapped(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	if c.encoding != encMute {
		s.fail("%s: gapped, though its encoding can tell", c.name)
	}
	real := false
	for ch := range c.channels {
		quiet := c.quiet[ch]
		if strings.HasPrefix(ch, likePrefix) { // one look may have ended before what is gone did
			quiet = 0
		}
		real = real || s.lacks(c, ch, max(c.position, c.had[ch], c.skip[ch], quiet), s.hist.head) || s.policies[ch] == fanout.Latest && c.socket.slow
	}
	if !real || c.abreast && !c.socket.slow && !c.socket.dead {
		s.fail("%s: closed for a gap that is none (at %d)", c.name, c.position)
	}
	s.gaps++
	s.farewell(c)
}
func (s *sim) Fell(slot uint32) {
	c := s.clients[slot]
	s.decode(c)
	real := false
	for ch := range c.channels {
		real = real || s.policies[ch] == fanout.Disconnect && c.socket.slow && s.lacks(c, ch, max(c.position, c.had[ch], c.skip[ch], c.quiet[ch], c.lost[ch]), s.hist.head)
	}
	if !real {
		s.fail("%s: closed for being slow on channels %v without a reason (at %d)", c.name, c.channels, c.position)
	}
	s.fell++
	s.farewell(c)
}
func (s *sim) Slow(slot uint32) { s.drop(s.clients[slot]) }

func (s *sim) drop(c *simClient) {
	s.decode(c)
	if s.out.flying(c.conn()) != nil {
		s.met.drop++
	}
	s.fan.Detach(c.slot)
	delete(s.out.sockets, c.conn())
	c.gone = true
	delete(s.clients, c.slot)
	s.free = append(s.free, c.slot)
}

// landed is called when q was reported.
func (s *sim) landed(q *send) {
	c := s.clients[q.to.Slot]
	if c == nil || c.conn() != q.to {
		return
	}
	if q.old {
		half, _ := s.fan.Held(c.slot)
		c.socket.old = len(c.socket.arrived) + half
	}
	if len(c.changes) > 0 && q.err == nil {
		s.settle(c, q)
	}
}
