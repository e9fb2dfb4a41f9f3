package fanout_test

import (
	"slices"

	"peal/loop/ring"
)

// lostChannel is that of the messages which stand for what the store of the log has lost:
// they were on all channels perhaps, and nobody receives them.
const lostChannel = "lost"

// lose has the store lose entries: all that is retained goes, and who stands before has a
// gap on each channel.
func (s *sim) lose() {
	m := &ring.Message{Sequence: s.hist.head + 1, Channel: lostChannel, Also: slices.Clone(s.names)}
	s.note("lost up to %d", m.Sequence)
	s.hist.head = m.Sequence
	s.hist.all = append(s.hist.all, m)
	for _, c := range s.names {
		s.hist.kept[c], s.hist.discarded[c] = nil, m.Sequence
	}
	if s.past != nil {
		s.past.floor = m.Sequence
	}
	for _, c := range s.clients {
		c.abreast = false
	}
	if s.rnd.IntN(2) == 0 { // the loop hears of it before it has taken what was published before
		s.waiting = nil
		s.fan.Lose(m.Sequence)
	} else {
		s.waiting = append(s.waiting, m)
	}
	s.lost++
}
