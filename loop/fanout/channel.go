package fanout

import (
	"math"
	"slices"
	"unsafe"

	"peal/loop/ring"
)

// channel is what one loop knows of a channel: which views contain it. Most channels are those of one
// connection alone, so it is small, 32 bytes, and has room for one view; what others need is in more.
//
// It is also the first bundle of its channel: see bundle.
type channel struct {
	text     *byte  // the first byte of its name
	more     *more  // nil: no view beside the one in view, and nothing waits
	covers   uint64 // shares: what was applied beyond it is in the strips of the pass
	view     uint32 // number of the only view of the bundle; with flagSolo, of the first of this channel alone; 0 for none
	flags    uint16 // and, from lengthShift on, the length of the name
	part     uint8  // of that view
	encoding ring.Encoding
}

// Flags of a channel.
const (
	flagSolo    uint16 = 1 << iota // view is one of this channel alone
	flagShares                     // what waits for the views of the bundle is in its pass
	flagOneShot                    // shares: for polls
	flagTouched                    // by the Apply under way
	flagLong                       // the name is in more: it has more than longest bytes

	lengthShift = 5
	longest     = 1<<(16-lengthShift) - 1 // names of matchers only may be longer
)

// more is what a channel has with several views, or while something waits.
type more struct {
	pass  *pass   // shares: while something waits
	solo  *view   // views of this channel alone, one for each encoding in use, linked by nextSolo
	next  *bundle // further bundles of the channel, nil for none
	links []link  // views of the bundle, if they are several
	long  string  // flagLong: the name
}

// link is one view's membership in a bundle; part is the index of the bundle in
// the view.
type link struct {
	view *view
	part int
}

// name is the channel's name: its text and its length, which take 8 bytes less than a string.
func (c *channel) name() string {
	if c.flags&flagLong != 0 {
		return c.more.long
	}
	return unsafe.String(c.text, c.flags>>lengthShift)
}

// setName gives c its name, or the same name in other memory.
func (c *channel) setName(name string) {
	if len(name) <= longest {
		c.text, c.flags = unsafe.StringData(name), c.flags&(1<<lengthShift-1)|uint16(len(name))<<lengthShift
		return
	}
	if c.set(flagLong, true); c.more == nil {
		c.more = new(more)
	}
	c.more.long = name
}

// pass is what waits for the views of the bundle, nil for nothing.
func (b *bundle) pass() *pass {
	if b.more == nil {
		return nil
	}
	return b.more.pass
}

// setPass makes p what waits for the views of the bundle, nil: nothing.
func (f *Fan) setPass(b *bundle, p *pass) {
	if p == nil {
		b.more.pass = nil
		f.slim(b)
		return
	}
	f.extend(b).pass = p
}

// extend returns what c has for several views, or for a pass, making it if needed.
func (f *Fan) extend(c *channel) *more {
	if c.more != nil {
		return c.more
	}
	var m *more
	if n := len(f.freeMores); n > 0 {
		m, f.freeMores = f.freeMores[n-1], f.freeMores[:n-1]
	} else {
		m = new(more)
	}
	if c.is(flagSolo) {
		m.solo, c.view = f.views[c.view], 0
		c.set(flagSolo, false)
	}
	c.more = m
	return m
}

// Is and Hash are for the table of channels.
func (c *channel) Is(name string) bool { return c.name() == name }
func (c *channel) Hash() uint64        { return hashOf(c.name()) }

// enter counts one subscriber of a channel of a view in. The name of the first may be part of the request
// that it came in; from now on it is that of the source.
// Matchers keep their own.
func (f *Fan) enter(_ int, c *channel) {
	if name := f.source.Join(c.name()); !isMatcher(name) {
		c.setName(name)
	}
}

func (c *channel) is(flag uint16) bool { return c.flags&flag != 0 }

func (c *channel) set(flag uint16, on bool) {
	if c.flags &^= flag; on {
		c.flags |= flag
	}
}

// solo is the first view of this channel alone, nil for none; others follow by nextSolo.
func (f *Fan) solo(c *channel) *view {
	switch {
	case c.is(flagSolo):
		return f.views[c.view]
	case c.more != nil:
		return c.more.solo
	}
	return nil
}

// setSolo makes v the first view of this channel alone, nil: there is none any more.
func (f *Fan) setSolo(c *channel, v *view) {
	switch {
	case c.more == nil && (c.view == 0 || c.is(flagSolo)):
		c.view = 0
		if v != nil {
			c.view = v.number
		}
		c.set(flagSolo, v != nil)
	default:
		f.extend(c).solo = v
		f.slim(c)
	}
}

// next is the next bundle of the channel, nil for none.
func (b *bundle) next() *bundle {
	if b.more == nil {
		return nil
	}
	return b.more.next
}

// size is how many views are in the bundle.
func (b *bundle) size() int {
	switch {
	case b.more != nil && len(b.more.links) > 0:
		return len(b.more.links)
	case b.view != 0 && !b.is(flagSolo):
		return 1
	}
	return 0
}

// links are the views of the bundle, until the next call of links.
func (f *Fan) links(b *bundle) []link {
	if b.more != nil && len(b.more.links) > 0 {
		return b.more.links
	}
	if b.size() == 0 {
		return nil
	}
	f.lone[0] = link{f.views[b.view], int(b.part)}
	return f.lone[:]
}

// viewAt is the view at place in the bundle.
func (f *Fan) viewAt(b *bundle, place int) *view {
	if b.more != nil && len(b.more.links) > 0 {
		return b.more.links[place].view
	}
	return f.views[b.view]
}

// addLink puts l into the bundle, and returns its place.
func (f *Fan) addLink(b *bundle, l link) (place uint32) {
	n := b.size()
	if n == 0 && l.part <= math.MaxUint8 {
		if b.is(flagSolo) {
			f.extend(b)
		}
		b.view, b.part = l.view.number, uint8(l.part)
		return 0
	}
	if b.more == nil || len(b.more.links) == 0 {
		all := append(make([]link, 0, 2), f.links(b)...)
		f.extend(b).links, b.view = all, 0
	}
	b.more.links = append(b.more.links, l)
	return uint32(n)
}

// cutLink takes the view at place out of the bundle; the last one moves there.
func (f *Fan) cutLink(b *bundle, place uint32) {
	if b.more == nil || len(b.more.links) == 0 {
		b.view = 0
		f.slim(b)
		return
	}
	links := b.more.links
	end := len(links) - 1
	if moved := links[end]; place != uint32(end) {
		links[place] = moved
		moved.view.several.places[moved.part] = place
	}
	links[end] = link{}
	links = links[:end]
	if c := cap(links); c > 64 && c > 4*len(links) {
		links = append(make([]link, 0, c/2), links...)
	}
	b.more.links = links
	f.slim(b)
}

// slim gives up what a channel has for several views, or for a pass, if it is not needed any more.
func (f *Fan) slim(c *channel) {
	m := c.more
	if m == nil {
		return
	}
	if len(m.links) == 1 && m.links[0].part <= math.MaxUint8 {
		c.view, c.part = m.links[0].view.number, uint8(m.links[0].part)
		m.links = nil
	}
	if len(m.links) > 0 || m.next != nil || m.pass != nil || c.is(flagLong) {
		return
	}
	switch {
	case m.solo == nil:
		c.more = nil
	case c.view == 0:
		c.more, c.view = nil, m.solo.number
		c.set(flagSolo, true)
	default:
		return
	}
	if *m = (more{}); len(f.freeMores) < poolKeeps {
		f.freeMores = append(f.freeMores, m)
	}
}

// bundleFor returns the bundle of the channel for v, making it if needed. c is the first.
func (f *Fan) bundleFor(c *channel, v *view) *bundle {
	var free *bundle
	last := c
	for b := c; b != nil; b = b.next() {
		switch last = b; {
		case b.size() == 0:
			free = b
		case b.serves(v):
			return b
		}
	}
	if free == nil {
		free = new(bundle)
		free.setName(c.name())
		f.extend(last).next = free
	}
	free.fit(v)
	return free
}

// fit makes b, in whose strips nothing is, a bundle for v.
func (b *bundle) fit(v *view) {
	b.covers, b.encoding = v.head, v.encoding
	b.set(flagOneShot, v.oneShot)
	b.set(flagShares, v.shares)
}

// serves reports whether v, which is of the channel, belongs into the bundle.
func (b *bundle) serves(v *view) bool {
	return b.is(flagShares) == v.shares && (!v.shares || b.encoding == v.encoding)
}

// forgetBundle takes the bundle, which has no views, out of its channel, and forgets a channel without views.
func (f *Fan) forgetBundle(b *bundle) {
	c := f.channels.find(b.matcher())
	if b != c {
		before := c
		for before.next() != b {
			before = before.next()
		}
		before.more.next = b.next()
		f.slim(before)
	}
	f.dropChannel(c)
}

// dropChannel forgets a channel without views.
func (f *Fan) dropChannel(c *channel) {
	m := c.more
	if c.view == 0 && (m == nil || m.solo == nil && m.next == nil && len(m.links) == 0) {
		f.channels.forget(c)
	}
}

// set is the channels of a view with several, sorted, and its encoding.
type set struct {
	names    []string
	encoding ring.Encoding
	view     *view // its view, if that is known; nil: the one with these names and that encoding
}

func (s *set) hash() uint64 {
	h := uint64(s.encoding)
	for _, name := range s.names {
		h = h*0x9e37_79b9_7f4a_7c15 + hashOf(name)
	}
	return h
}

// Is and Hash are for the table of views of several channels.
func (v *view) Is(s *set) bool {
	if s.view != nil {
		return v == s.view
	}
	return v.encoding == s.encoding && slices.EqualFunc(v.several.bundles, s.names, func(b *bundle, name string) bool { return b.name() == name })
}

func (v *view) Hash() uint64 {
	h := uint64(v.encoding)
	for _, b := range v.several.bundles {
		h = h*0x9e37_79b9_7f4a_7c15 + hashOf(b.name())
	}
	return h
}
