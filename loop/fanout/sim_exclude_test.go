package fanout_test

import (
	"encoding/binary"

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
