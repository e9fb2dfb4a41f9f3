package fanout_test

import (
	"encoding/binary"
	"slices"
	"strings"

	"peal/loop/ring"
)

// ownID is the id of a session of this process.
func ownID(session uint64) (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], session)
	id[15] = 1
	return id
}

// exclusion names the session with that id.
func exclusion(id [16]byte) *ring.Exclusion {
	x := &ring.Exclusion{ID: id}
	if id[15] == 1 {
		x.Session = binary.LittleEndian.Uint64(id[:])
	}
	return x
}

// anyID is the id of some session of this process, which may be gone, or one of
// another process.
func (s *sim) anyID() [16]byte {
	if s.rnd.IntN(2) == 0 {
		return [16]byte{byte(s.rnd.IntN(4)), 15: 2}
	}
	return ownID(1 + s.rnd.Uint64N(s.session+1))
}

// adopt has a client present an id, or none, before it subscribes.
func (s *sim) adopt(c *simClient) {
	switch s.rnd.IntN(6) {
	case 0:
		c.id = s.anyID()
		id := c.id
		s.fan.Adopt(c.slot, &id)
	case 1:
		c.id = ownID(c.session)
		s.fan.Adopt(c.slot, nil)
	}
}

// Concerns tells what of a gap is left for who knows the exclusions.
func (h *simHistory) Concerns(c string, discarded uint64, leavesOut func(x *ring.Exclusion) bool) (upto uint64, whole bool) {
	var first *ring.Exclusion
	for q := discarded; q > 0; q-- {
		m := h.all[q-1]
		switch {
		case m.Channel != c && !slices.Contains(m.Also, c):
			continue
		case m.Exclude == nil && first == nil:
			return discarded, true
		case m.Exclude == nil || first != nil && m.Exclude.ID != first.ID:
			return q, false
		case !leavesOut(m.Exclude):
			return discarded, false
		}
		first = m.Exclude
	}
	return 0, first == nil
}

// lacks tells whether something that was dropped from the channel in (from, to] is
// for the client.
func (s *sim) lacks(c *simClient, channel string, from, to uint64) bool {
	if strings.HasPrefix(channel, likePrefix) {
		return s.lacksLike(channel, from, to)
	}
	for q := from + 1; q <= min(to, s.hist.discarded[channel]); q++ {
		m := s.hist.all[q-1]
		if (m.Channel == channel || slices.Contains(m.Also, channel)) && (m.Exclude == nil || m.Exclude.ID != c.id) {
			return true
		}
	}
	return false
}
