package fanout_test

import (
	"peal/loop/fanout"
)

// finish lets everything arrive and checks that nothing is missing.
func (s *sim) finish() {
	for i := 0; i < 2000 && !s.failed; i++ {
		s.apply(len(s.waiting))
		for _, c := range s.clients {
			s.decode(c)
			c.socket.room = 1 << 20
			if c.socket.full {
				c.socket.full, c.socket.sealed = false, false
				s.fan.Writable(c.slot)
			}
			if c.encoding >= encPoll && !c.parked && s.fan.CaughtUp(c.slot) {
				s.decode(c)
				s.subscribe(c, fanout.After, c.position)
			}
		}
		s.out.turn++
		if !s.fan.Flush(1000) {
			done := len(s.waiting) == 0 && len(s.out.out) == 0
			for _, c := range s.clients {
				done = done && !c.socket.full && (c.encoding < encPoll || c.parked)
			}
			if done {
				break
			}
		}
	}
	s.idle()
	for _, c := range s.clients {
		s.decode(c)
		if c.decoded != len(c.socket.arrived) {
			s.fail("%s: the stream ends inside something: %q", c.name, c.socket.arrived[c.decoded:])
		}
		if x := s.missing(c, c.position, s.hist.head+1); x != nil && !c.socket.dead {
			s.fail("%s: in the end %d on %s never came (at %d)", c.name, x.Sequence, x.Channel, c.position)
		}
		if c.private != c.wrote && !c.socket.dead {
			s.fail("%s: %d of %d private items came", c.name, c.private, c.wrote)
		}
		if got := s.fan.Position(c.slot); got < s.hist.head && !c.socket.dead {
			s.fail("%s: position %d at the end, head %d", c.name, got, s.hist.head)
		}
	}
	for k, n := range s.enc.encodes {
		if n > 1 {
			s.fail("message %d was encoded %d times in encoding %d", k[0], n, k[1])
		}
	}
	for _, c := range s.clients {
		s.drop(c)
	}
	st := s.fan.Stats()
	if st.Members != 0 || st.Views != 0 || st.Channels != 0 || st.Held != 0 || st.Waiting != 0 {
		s.fail("left behind: %+v", st)
	}
	if n := s.fan.Matchers() + s.fan.Likes(); n != 0 {
		s.fail("left behind: %d matchers", n)
	}
	for c, n := range s.hist.joined {
		if n != 0 {
			s.fail("channel %s has %d subscribers left", c, n)
		}
	}
}
