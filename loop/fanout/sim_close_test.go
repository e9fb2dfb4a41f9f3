package fanout_test

import "fmt"

// Private bytes, and the end of a stream.

// write sends c an item of its own, as an answer or not.
func (s *sim) write(c *simClient, answer bool) {
	if s.out.flying(c.conn()) != nil {
		s.met.write++
	}
	b := fmt.Appendf(nil, "<P %d>", c.wrote)
	write := s.fan.Write
	if answer {
		write = s.fan.WriteAnswer
		c.answers += len(b)
	}
	dead := c.socket.dead
	done, err := write(c.slot, b)
	for i := range b {
		b[i] = '!' // it was lent
	}
	if err != nil {
		s.drop(c)
		return
	}
	c.wrote++
	c.idle = c.idle || !done && !dead
}

// close ends a stream: the flights, and the last item, arrive.
func (s *sim) close(c *simClient) {
	s.decode(c)
	s.note("%s is closed", c.name)
	if s.out.flying(c.conn()) != nil {
		s.met.close++
	}
	s.unsubscribe(c)
	clear(c.channels)
	c.closing, c.parked = true, false
	if s.rnd.IntN(4) > 0 {
		s.write(c, false)
	}
	if !c.gone && s.fan.LaneEmpty(c.slot) {
		s.ended(c)
	}
}

// farewell is what becomes of a stream that the fan has given up for a gap.
func (s *sim) farewell(c *simClient) {
	if s.rnd.IntN(2) == 0 {
		s.drop(c)
		return
	}
	s.fan.Revive(c.slot)
	s.close(c)
}

// ended is called when the end of a stream may follow what was sent.
func (s *sim) ended(c *simClient) {
	s.decode(c)
	if s.out.flying(c.conn()) != nil || c.socket.sealed {
		s.fail("%s: it ends while bytes are on their way", c.name)
	}
	if c.socket.dead {
		s.drop(c)
		return
	}
	if c.private != c.wrote || c.decoded != len(c.socket.arrived) {
		s.fail("%s: it ends, but %d of %d private items came, and %q is left", c.name, c.private, c.wrote, c.socket.arrived[c.decoded:])
	}
	s.drop(c)
}
