package trace

import (
	"slices"
	"time"
)

// Config is the limits of one record, and what it sees of the server.
type Config struct {
	Lives int // recorded at a time
	Bytes int // of their memory

	Head func() uint64    // newest sequence of the log
	Now  func() time.Time // time.Now outside tests
}

// Record is the lives of the connections of one loop. Slots are those of the loop.
type Record struct {
	config Config

	slots     []uint32 // by slot: number of the life, 0 for none, untraced
	lives     []*lifeSlab
	nodes     []*nodeSlab
	freeLives []uint32
	freeNodes []uint32
	usedLives uint32
	usedNodes uint32
	nodeCount int
	texts     texts

	live    list // by when they began
	over    list // by when they ended
	refused list // those of refused connections, likewise

	since          uint64 // nothing before this sequence is in the record
	horizon        uint64 // lives that are forgotten were over by then
	refusedHorizon uint64
	untraced       int // connections that are open and not recorded
	stats          Stats
}

// Stats are counters and gauges of a record.
type Stats struct {
	Live, Ended int    // lives in the record
	Bytes       int    // that they are charged with
	Untraced    int    // open connections for which there was no room
	Forgotten   uint64 // lives that were removed for others
}

// Add adds those of another record.
func (s *Stats) Add(o Stats) {
	s.Live += o.Live
	s.Ended += o.Ended
	s.Bytes += o.Bytes
	s.Untraced += o.Untraced
	s.Forgotten += o.Forgotten
}

// New returns an empty record.
func New(c Config) *Record {
	return &Record{config: c, since: c.Head(), texts: texts{numbers: map[string]uint32{}, all: make([]text, 1)}}
}

// Restart says that nothing up to head, that of the log, is known: another process has served until then.
func (r *Record) Restart(head uint64) { r.since = max(r.since, head) }

// Stats is the state of the record.
func (r *Record) Stats() Stats {
	s := r.stats
	s.Live, s.Ended, s.Bytes, s.Untraced = r.live.count, r.over.count+r.refused.count, r.bytes(), r.untraced
	return s
}

func (r *Record) now() int64 { return r.config.Now().UnixMilli() }

// lifeAt is the life of a slot, nil for none.
func (r *Record) lifeAt(slot uint32) *life {
	if int(slot) >= len(r.slots) || r.slots[slot] == 0 || r.slots[slot] == untraced {
		return nil
	}
	return r.life(r.slots[slot])
}

// Join says that a connection receives further channels; without any, that it has become a stream.
func (r *Record) Join(slot uint32, j *Joining) {
	l := r.lifeAt(slot)
	if l != nil && !r.isOf(l, &j.Client) {
		r.End(slot, j.Covered, j.Unsure)
		l = nil
	}
	if l == nil {
		if l = r.begin(slot, &j.Client); l == nil {
			return
		}
	}
	r.describe(l, &j.Client)
	if l.flags&flagWide != 0 {
		return
	}
	now, head := r.now(), r.config.Head()
	if j.From == Carried {
		r.Restart(head)
		carried := *j
		carried.Start = r.since
		j = &carried
	}
	if j.Poll {
		r.nextPoll(l, j, now, head)
	} else {
		for i := l.first; i != 0; i = r.node(i).next {
			if k := r.node(i); k.open {
				k.reach(j.Covered, j.Unsure)
			}
		}
	}
	for i, name := range j.Channels {
		from := j.From
		if k := r.open(l, name); k != nil {
			if j.Poll && from == After && k.start <= j.Start && j.Start <= k.upto {
				if j.Start == k.upto {
					if k.from != Foreign { // else it was told
						k.told = min(k.told, j.Start) // what lies behind its cursor it asks for
					}
					continue // it goes on where the poll before has ended
				}
				from = again
			}
			k.close(head, now, j.Unsure)
		}
		k := r.newNode(l, name)
		if l.flags&flagWide != 0 {
			return
		}
		if k == nil {
			continue
		}
		k.kind, k.open, k.from, k.start, k.upto, k.head, k.at = kindJoined, true, from, j.Start, j.Start, head, now
		if j.From == After {
			k.cursor, k.cursorAt = j.Start, now
		}
		if j.Told != nil {
			k.told = j.Told[i]
		}
	}
}

// nextPoll notes what a poll says about the one before it.
func (r *Record) nextPoll(l *life, j *Joining, now int64, head uint64) {
	goesOn := false
	for i := l.first; i != 0; i = r.node(i).next {
		k := r.node(i)
		if !k.open {
			continue
		}
		k.reach(j.Covered, j.Unsure)
		if !slices.Contains(j.Channels, r.texts.of(k.channel)) {
			k.close(head, now, j.Unsure)
			continue
		}
		goesOn = true
		k.endAt = now // the last poll so far
		if j.From == After && j.Start > k.cursor {
			k.cursor, k.cursorAt = j.Start, now
		}
	}
	if goesOn && j.From == After {
		l.confirm(j.Start, now, NextPoll)
	}
}

// isOf reports whether a life is that of a client on its connection. The first poll of a client
// has no id yet.
func (r *Record) isOf(l *life, c *Client) bool {
	switch {
	case l.session != c.Session, l.flags&flagPoll != 0 != c.Poll:
		return false
	case !c.Poll:
		return true
	case r.texts.of(l.name) != c.Name:
		return false
	case l.id == c.ID && c.ID != [16]byte{}:
		return true
	}
	return l.id == [16]byte{} && !c.Shared
}

// describe notes what is known of a client only now.
func (r *Record) describe(l *life, c *Client) {
	if c.ID != [16]byte{} {
		l.id = c.ID
	}
	if c.Name != "" && r.texts.of(l.name) != c.Name {
		if name := r.text(c.Name); name != 0 {
			r.texts.drop(l.name)
			l.name = name
		} else {
			l.flags |= flagLossy
		}
	}
}

// begin begins the life of a connection. nil: there is no room.
func (r *Record) begin(slot uint32, c *Client) *life {
	for int(slot) >= len(r.slots) {
		r.slots = append(r.slots, make([]uint32, max(256, len(r.slots)/2))...)
	}
	if r.slots[slot] == untraced {
		return nil
	}
	i := r.add(slot, c)
	if i == 0 {
		r.slots[slot] = untraced
		r.untraced++
		return nil
	}
	r.slots[slot] = i
	r.push(&r.live, i)
	return r.life(i)
}

// add makes a life that is in no list yet, and returns its number; 0: there is no room.
func (r *Record) add(slot uint32, c *Client) uint32 {
	if !r.room(1, lifeBytes+len(c.Name)+textOverhead) {
		return 0
	}
	i := r.newLife()
	l := r.life(i)
	*l = life{session: c.Session, id: c.ID, began: r.config.Head(), beganAt: r.now(), slot: slot, name: r.texts.use(c.Name), dialect: c.Dialect}
	if c.Poll {
		l.flags |= flagPoll
	}
	if c.Address.IsValid() {
		l.address = c.Address.As16()
		l.flags |= flagAddress
	}
	return i
}

// open returns the node of a channel that the life receives, nil for none.
func (r *Record) open(l *life, channel string) *node {
	n, ok := r.texts.numbers[channel]
	if !ok {
		return nil
	}
	for i := l.first; i != 0; i = r.node(i).next {
		if k := r.node(i); k.channel == n && k.open { // in this order: it reads one line of the cache
			return k
		}
	}
	return nil
}

// reach notes how far an open subscription has come. What was being sent at such a moment may have been
// sent although the position never came to it: it may go back for another channel.
func (k *node) reach(covered, unsure uint64) {
	k.upto = max(k.upto, covered)
	k.doubt(unsure)
}

func (k *node) close(head uint64, now int64, unsure uint64) {
	k.open, k.end, k.endAt = false, head, now
	k.doubt(unsure)
}

func (k *node) doubt(unsure uint64) {
	switch {
	case unsure <= k.upto:
	case k.unsure > k.upto && k.unsure != unsure:
		k.unsure = AllUnsure // there is room for one only
	default:
		k.unsure = unsure
	}
}

func (l *life) confirm(upto uint64, now int64, by By) {
	if upto > l.confirmed {
		l.confirmed, l.confirmedAt, l.confirmedBy = upto, now, by
	}
}
