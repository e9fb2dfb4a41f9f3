package fanout

import "math/bits"

// news tells which channels of a view that shares have something new, so that a visit looks
// at these bundles alone: usually one, however many channels the view has.
type news struct {
	since    uint64 // no other channel has a message behind it
	channels uint64 // by the index in the view: a bit for each of the first 64, or all
}

// allChannels is the set if it is not known which.
const allChannels = ^uint64(0)

// add notes that the channel with that index has a message behind since. It reports whether
// that is new.
func (n *news) add(part int) bool {
	if part >= 64 {
		n.channels = allChannels
		return false
	}
	known := n.channels
	n.channels |= 1 << part
	return n.channels != known
}

// after is the set of channels that may have something for who stands at position.
func (n *news) after(position uint64) uint64 {
	if position >= n.since {
		return n.channels
	}
	return allChannels
}

// seen says that all members that a visit is for have been offered everything up to head.
func (n *news) seen(head uint64) { *n = news{since: head} }

// none reports whether nothing has come since the last visit of all members: the rounds of
// other bundles have nothing to do here.
func (n *news) none(head uint64) bool { return n.channels == 0 && n.since == head }

// counts reports whether the passes of the bundles of v count it in unseen.
func (v *view) counts() bool { return !v.parted && len(v.several.bundles) <= 64 }

// seen says that all members of v that a visit is for have been offered everything.
func (f *Fan) seen(v *view) {
	s := v.several
	if v.counts() {
		for left := s.fresh.channels; left != 0; left &= left - 1 {
			if p := s.bundles[bits.TrailingZeros64(left)].pass(); p != nil {
				p.unseen--
			}
		}
	}
	v.parted = false
	s.fresh.seen(v.head)
}

// partly says that v was visited in parts, so that its news stay: what the passes of its
// bundles count is not known any more.
func (f *Fan) partly(v *view) {
	v.parted = true
	for _, b := range v.several.bundles {
		if p := b.pass(); p != nil {
			p.uncounted = true
		}
	}
}
