package fanout_test

import (
	"bytes"
	"encoding/gob"
	"maps"
	"slices"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// simNames are the names of what the simulation numbers.
type simNames struct{}

var encodingNames = [...]string{encLine: "line", encMute: "mute", encPoll: "poll", encPoll1: "poll-one"}

func (simNames) EncodingName(k ring.Encoding) string { return encodingNames[k] }
func (simNames) EncodingOf(name string) (ring.Encoding, bool) {
	i := slices.Index(encodingNames[:], name)
	return ring.Encoding(max(i, 0)), i >= 0
}
func (simNames) OriginName(origin uint16) string     { return string(make([]byte, origin)) }
func (simNames) OriginOf(name string) (uint16, bool) { return uint16(len(name)), true }

// travel is what becomes of a value between two processes.
func travel[T any](v T) (out T, err error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return out, err
	}
	err = gob.NewDecoder(&b).Decode(&out)
	return out, err
}

// handOver gives all members to a new fan, whose loop begins at the same place of the log,
// or a little before it. Sometimes that fan does not begin, and the old one goes on.
func (s *sim) handOver() {
	if s.rnd.IntN(2) == 0 {
		s.apply(len(s.waiting))
	}
	for i := 0; !s.fan.Settled(); i++ {
		if i%200 == 199 { // members may wait for what has been lost behind what was applied
			s.apply(len(s.waiting))
		}
		if s.flush(20); i == 2000 {
			s.fail("the fan does not settle: %+v", s.fan.Stats())
			return
		}
	}
	x := s.fan.NewExporter(simNames{})
	slots := slices.Sorted(maps.Keys(s.clients))
	states := map[uint32]fanout.MemberState{}
	for _, slot := range slots {
		var m fanout.MemberState
		err := x.Member(slot, &m)
		if err == nil {
			states[slot], err = travel(m)
		}
		if err != nil {
			s.fail("%s cannot be handed over: %v", s.clients[slot].name, err)
			return
		}
	}
	rests, err := travel(x.Rests)
	if err != nil {
		s.fail("rests: %v", err)
	}
	if s.rnd.IntN(3) == 0 {
		s.note("a hand-over is given up")
		s.stayed++
		return
	}
	s.note("%d members are handed over", len(slots))
	applied := s.fan.Applied()
	s.applied = max(s.applied, applied)
	if back := s.rnd.Uint64N(5); back < applied && s.rnd.IntN(2) == 0 { // the ring begins before the head
		s.waiting = append(slices.Clone(s.hist.all[applied-back:applied]), s.waiting...)
		applied -= back
	}
	held := s.fan.Stats().Held
	clear(s.hist.joined)
	s.begin(applied)
	clients, in := s.clients, s.fan.NewImporter(simNames{}, rests)
	s.clients, s.free, s.next = map[uint32]*simClient{}, nil, 0
	clear(s.out.sockets)
	s.rnd.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
	for _, slot := range slots {
		c, m := clients[slot], states[slot]
		c.slot = s.next
		s.next++
		s.clients[c.slot], s.out.sockets[c.conn()] = c, c.socket
		s.fan.Attach(c.conn(), c.session)
		if err := in.Member(c.slot, &m); err != nil {
			s.fail("%s is not taken over: %v", c.name, err)
		}
		s.moved++
	}
	for _, c := range s.clients { // other views share now
		c.abreast = c.abreast && (s.whole || s.fan.Shares(c.slot))
	}
	if got := s.fan.Stats().Held; got > held {
		s.fail("members that held %d bytes hold %d after they were handed over", held, got)
	}
}
