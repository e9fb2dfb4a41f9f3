package fanout

import (
	"peal/loop/ring"
)

// view is a set of channels in one encoding, and the members that receive it:
// 80 bytes, because there may be one for each connection.
type view struct {
	// Fixed at creation.
	number   uint32
	encoding ring.Encoding
	oneShot  bool // polls: a member leaves with its first answer
	shares   bool // what waits for it is in the strips of its bundles: of several channels and few members
	parted   bool // shares: it was visited in parts, see Fan.partly
	most     uint16
	only     *channel // the channel, if it is one
	several  *several // the channels, if they are more
	nextSolo *view

	head    uint64   // newest sequence of a message on these channels that was applied
	members []uint32 // slots
	pass    *pass    // while there is something to send
}

// several is what a view of more than one channel has besides.
type several struct {
	fresh   news      // shares: which channels have something new
	bundles []*bundle // one for each channel
	places  []uint32  // of the view in bundles[i]
}

// channels calls f for each channel of the view, with its index.
func (v *view) channels(f func(i int, c *channel)) {
	if v.several == nil {
		f(0, v.only)
		return
	}
	for i, b := range v.several.bundles {
		f(i, b)
	}
}

// width is the number of channels of the view.
func (v *view) width() int {
	if v.several == nil {
		return 1
	}
	return len(v.several.bundles)
}

// first is the first channel of the view.
func (v *view) first() *channel {
	if v.several == nil {
		return v.only
	}
	return v.several.bundles[0]
}

// pass is the work on one view, or on the views of a bundle: the strips, and who
// is still to be visited. A new message in the middle of it starts the round again
// at the next member, or view, so that each visit sends all there is.
type pass struct {
	queued    bool // in Fan.dirty or Fan.due
	uncounted bool // of a bundle: unseen is not known
	ending    bool // in Fan.ending or Fan.trims
	next      int  // place to visit next
	within    int  // of a bundle: members of that view that were visited already
	left      int  // visits until all have been seen since the last message
	live      *strip
	before    *strip // what live was before it was cut, for who was not visited since
	back      *strip // history, shared by those further behind
	stamp     uint64 // of a view: members that were behind by then may need its strips: queue.pushed
	wave      uint64 // of a view: members with flights of a wave before this may need them
	first     *strip // of a bundle: the oldest; its next are newer, the last is live
	covered   reply  // the last poll answer, shared by polls at the same position
	unseen    int    // of a bundle: views that were not visited since its channel got something; they have it among their news
	visits    uint32 // of members, and the sends among them: for marks
	sends     uint32
	marks     []mark  // messages on their way through the members
	lone      [1]mark // where marks begins: most passes are for one message
}

func (v *view) startPass(f *Fan) *pass {
	if v.pass == nil {
		v.pass = f.newPass(v.head)
	}
	return v.pass
}

// has reports whether what follows position is in the strips of new messages.
func (p *pass) has(position uint64) bool {
	return !p.live.empty() && position >= p.live.base || p.before != nil && position >= p.before.base
}

// add takes the next message of the view.
func (f *Fan) add(v *view, m *ring.Message) {
	if v.head >= m.Sequence {
		return // a further channel of the same message
	}
	p := v.startPass(f)
	if p.live.empty() && p.before == nil {
		p.live.begin(v.head) // the pass began with history; this begins where the view stands
	}
	if v.oneShot {
		if len(p.live.index) >= f.limits.AnswerMessages*4 {
			f.cut(p)
			p.covered = reply{}
		}
		p.live.note(m)
	} else {
		m = f.shown(m, v)
		b := m.Encoded(v.encoding, f.encode)
		if !p.live.empty() && p.live.size()+len(b) > f.limits.StripBytes {
			f.cut(p)
		}
		p.live.add(m, b)
	}
	v.head = m.Sequence
	p.left = len(v.members)
	f.count(p.live)
	f.charge(costAdded + m.Size/bytesAdded)
	f.mark(p, m)
	f.markDirty(v, p)
}

// cut starts a new live strip; the old one stays for those who were not
// visited since it began, the one before it goes.
func (f *Fan) cut(p *pass) {
	if p.before != nil {
		f.freeStrip(p.before)
	}
	p.before = p.live
	p.live = f.newStrip(p.before.last)
}

func (f *Fan) markDirty(v *view, p *pass) {
	if !p.queued {
		p.queued = true
		f.dirty.push(v.number)
	}
}

// endPass lets the strips of a view go once all its members have been visited,
// and those that are behind by less than the strips, or had bytes with the sender,
// have had their turn. It reports whether the latter is what it waits for.
func (f *Fan) endPass(v *view) (again bool) {
	p := v.pass
	if p == nil {
		return false
	}
	if p.queued || p.left > 0 {
		p.ending = false
		return false
	}
	if f.behind.popped() < p.stamp || !f.reported(p.wave) {
		return true
	}
	p.ending = false
	if p.back != nil { // history is still being read
		if p.before != nil {
			f.freeStrip(p.before)
			p.before = nil
		}
		f.freeStrip(p.live)
		p.live = f.newStrip(v.head)
		return false
	}
	v.pass = nil
	f.freePass(p)
	if v.several != nil {
		f.startSharing(v)
	}
	return false
}

// find returns the view of these channels, which are sorted, making it if needed.
func (f *Fan) find(names []string, k ring.Encoding, oneShot bool) *view {
	if len(names) == 1 {
		c := f.channels.channel(matcher{names[0]})
		for v := f.solo(c); v != nil; v = v.nextSolo {
			if v.encoding == k {
				return v
			}
		}
		v := f.newView(k, oneShot)
		v.only = c
		v.nextSolo = f.solo(c)
		f.setSolo(c, v)
		return v
	}
	key := set{names: names, encoding: k}
	hash := key.hash()
	if v := f.multi.Get(hash, &key); v != nil {
		return v
	}
	v := f.newView(k, oneShot)
	v.several = &several{fresh: news{since: v.head}}
	v.shares = f.meets(names)
	v.several.bundles = make([]*bundle, len(names))
	v.several.places = make([]uint32, len(names))
	for i, n := range names {
		f.link(v, i, f.channels.channel(matcher{n}))
	}
	f.multi.Add(hash, v)
	return v
}

func (f *Fan) newView(k ring.Encoding, oneShot bool) *view {
	v := &view{encoding: k, oneShot: oneShot, head: f.applied}
	if n := len(f.freeViews); n > 0 {
		v.number = f.freeViews[n-1]
		f.freeViews = f.freeViews[:n-1]
		f.views[v.number] = v
	} else {
		v.number = uint32(len(f.views))
		f.views = append(f.views, v)
	}
	f.stats.Views++
	return v
}

// dropView forgets a view without members.
func (f *Fan) dropView(v *view) {
	if v.several == nil {
		c := v.only
		if first := f.solo(c); first == v {
			f.setSolo(c, v.nextSolo)
		} else {
			for first.nextSolo != v {
				first = first.nextSolo
			}
			first.nextSolo = v.nextSolo
		}
		f.dropChannel(c)
	} else {
		f.multi.Remove(v.Hash(), &set{view: v})
		f.seen(v)
		for i, b := range v.several.bundles {
			f.unlink(b, v.several.places[i])
		}
	}
	if p := v.pass; p != nil {
		v.pass = nil
		if v.oneShot {
			f.answered(p)
		}
		f.freePass(p) // still in the dirty queue perhaps, which looks the number up again
	}
	f.views[v.number] = nil
	f.freeViews = append(f.freeViews, v.number)
	f.stats.Views--
}

// join puts the member into the view.
func (f *Fan) join(slot uint32, m *member, v *view) {
	m.view, m.place = v.number, uint32(len(v.members))
	if v.members == nil {
		v.members = make([]uint32, 0, 1)
	}
	v.members = append(v.members, slot)
	if v.pass != nil && v.pass.queued {
		v.pass.left = len(v.members)
	}
	if v.shares && len(v.members) > f.shareMembers {
		f.stopSharing(v)
	}
	v.channels(f.enter)
}

// leave takes the member out of its view, if it is in one, which ends its
// subscription.
func (f *Fan) leave(slot uint32, m *member) {
	if m.view != 0 {
		f.abandon(m)
		f.part(slot, m)
	}
}

// part takes the member out of its view.
func (f *Fan) part(slot uint32, m *member) {
	v := f.views[m.view]
	end := uint32(len(v.members) - 1)
	if m.place != end {
		moved := v.members[end]
		v.members[m.place] = moved
		f.member(moved).place = m.place
	}
	v.members = v.members[:end]
	m.view = 0
	if v.shares {
		f.revisit(v)
	}
	f.forget(slot, m)
	v.channels(func(_ int, c *channel) { f.source.Leave(c.name()) })
	if end == 0 {
		f.dropView(v)
		return
	}
	if v.pass != nil && v.pass.queued {
		v.pass.left = len(v.members) // the one that moved may not have been visited
	}
	if v.several != nil {
		f.startSharing(v)
	}
	if c := cap(v.members); c > 64 && c > 4*len(v.members) {
		v.members = append(make([]uint32, 0, c/2), v.members...)
	}
}
