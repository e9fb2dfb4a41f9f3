package hub

import (
	"slices"
	"sort"
	"sync/atomic"

	"peal/loop/ring"
)

// journal has the names of the newest publications of all channels in their order, for
// matchers: retained or not, because a publication that a matcher matches and that is
// gone is a gap. It has leastPublications of them, or as many as there are retained messages,
// if these are more. Append is serialized by Hub.order; readers take no lock.
type journal struct {
	now atomic.Pointer[publications] // nil: nothing is recorded
}

// publications is a journal at one moment: immutable, but for the last segment, which grows.
type publications struct {
	floor    uint64 // nothing is known of publications up to here
	segments []*segment
}

// segment is a run of publications. Those before used never change.
type segment struct {
	used    atomic.Int32
	entries [segmentEntries]publication
}

// publication is where one entry was published: 40 bytes, beside the names, which it
// shares with the message and keeps when that is gone.
type publication struct {
	sequence uint64
	channel  string
	also     *[]string // nil for none
}

const (
	segmentEntries    = 1024
	leastPublications = 65_536
)

// RecordOrder has the hub record the order of publications, which matchers need: Since,
// Before and Floor. Before Begin, Restore and Apply. Without it matchers have no past.
func (h *Hub) RecordOrder() { h.journal.now.Store(&publications{}) }

// add records m, which most retained messages come to with. Hub.order is held.
func (j *journal) add(m *ring.Message, most int) { j.put(m.Sequence, m.Channel, m.Also, most) }

func (j *journal) put(sequence uint64, channel string, also []string, most int) {
	p := j.now.Load()
	if p == nil {
		return
	}
	var s *segment
	if n := len(p.segments); n > 0 {
		s = p.segments[n-1]
	}
	if s == nil || s.used.Load() == segmentEntries {
		s = &segment{}
		grown := &publications{floor: p.floor}
		if excess := len(p.segments) + 1 - (max(most, leastPublications)+segmentEntries-1)/segmentEntries - 1; excess > 0 {
			grown.floor = p.segments[excess-1].entries[segmentEntries-1].sequence
			p = &publications{segments: p.segments[excess:]}
		}
		grown.segments = append(slices.Clone(p.segments), s)
		j.now.Store(grown)
	}
	n := s.used.Load()
	e := &s.entries[n]
	e.sequence, e.channel = sequence, channel
	if len(also) > 0 {
		names := also // not the address of a field, which would keep the message
		e.also = &names
	}
	s.used.Store(n + 1)
}

// lose forgets all, and that there was anything up to upto. Hub.order is held.
func (j *journal) lose(upto uint64) {
	if p := j.now.Load(); p != nil {
		j.now.Store(&publications{floor: max(p.floor, upto)})
	}
}

// find returns the place of the first publication after sequence: a segment, and an index in it.
func (p *publications) find(sequence uint64) (s, i int) {
	s = sort.Search(len(p.segments), func(s int) bool {
		n := p.segments[s].used.Load()
		return n == 0 || p.segments[s].entries[n-1].sequence > sequence
	})
	if s == len(p.segments) {
		return s, 0
	}
	entries := p.segments[s].entries[:p.segments[s].used.Load()]
	return s, sort.Search(len(entries), func(i int) bool { return entries[i].sequence > sequence })
}

// Since is that of fanout.Past. A message is retained for a matcher if a channel that
// matches retains it.
//
// Any goroutine may call it. It locks the shard of a channel for each publication that
// matches.
func (h *Hub) Since(dst []*ring.Message, matches func(channel string) bool, after, upto uint64, count, bytes, look int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	all := h.journal.now.Load()
	if all == nil {
		return dst, upto, upto, 0
	}
	if after < all.floor {
		discarded = all.floor
	}
	covered = after
	charged := 0
	for s, i := all.find(after); s < len(all.segments); s, i = s+1, 0 {
		entries := all.segments[s].entries[:all.segments[s].used.Load()]
		for ; i < len(entries); i++ {
			e := &entries[i]
			if e.sequence > upto {
				return dst, discarded, max(covered, upto), looked
			}
			if looked == look {
				return dst, discarded, covered, looked
			}
			looked++
			m, matched := h.at(e, matches)
			switch {
			case m != nil:
				if charged += m.Size; count == 0 || charged > bytes && charged > m.Size {
					return dst, discarded, covered, looked
				}
				count--
				dst = append(dst, m)
			case matched:
				discarded = max(discarded, e.sequence)
			}
			covered = e.sequence
		}
	}
	return dst, discarded, max(covered, upto), looked
}

// Before is that of fanout.Past. Any goroutine may call it; it locks as Since does.
func (h *Hub) Before(matches func(channel string) bool, upto uint64, look int) (m *ring.Message, reached uint64, looked int) {
	all := h.journal.now.Load()
	if all == nil {
		return nil, 0, 0
	}
	s, i := all.find(upto)
	for {
		for i--; i >= 0; i-- {
			e := &all.segments[s].entries[i]
			if looked == look {
				return nil, e.sequence, looked
			}
			looked++
			if m, _ := h.at(e, matches); m != nil {
				return m, 0, looked
			}
		}
		if s--; s < 0 {
			return nil, 0, looked
		}
		i = int(all.segments[s].used.Load())
	}
}

// Floor is that of fanout.Past.
func (h *Hub) Floor() uint64 {
	if all := h.journal.now.Load(); all != nil {
		return all.floor
	}
	return h.Head()
}

// at returns the message of e if a channel that matches retains it, nil for none, and
// whether a channel of e matches.
func (h *Hub) at(e *publication, matches func(channel string) bool) (m *ring.Message, matched bool) {
	if matches(e.channel) {
		if m = h.retained(e.channel, e.sequence); m != nil {
			return m, true
		}
		matched = true
	}
	if e.also != nil {
		for _, name := range *e.also {
			if matches(name) {
				if m = h.retained(name, e.sequence); m != nil {
					return m, true
				}
				matched = true
			}
		}
	}
	return nil, matched
}

// retained returns the message of channel with that sequence, nil if it is not retained.
func (h *Hub) retained(channel string, sequence uint64) (m *ring.Message) {
	s, past, _, emptied := h.lockPast(channel)
	if past != nil {
		if i := past.after(sequence); i > 0 && past.at(i-1).message.Sequence == sequence {
			m = past.at(i - 1).message
		}
	}
	h.unlockPast(s, channel, emptied)
	return m
}
