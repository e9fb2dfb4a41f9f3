package fanout

// news tells which channels of a view that shares have something new, so that a visit looks
// at these bundles alone: usually one, however many channels the view has.
type news struct {
	since    uint64 // no other channel has a message behind it
	channels uint64 // by the index in the view: a bit for each of the first 64, or all
}

// allChannels is the set if it is not known which.
const allChannels = ^uint64(0)

// add notes that the channel with that index has a message behind since.
func (n *news) add(part int) {
	if part < 64 {
		n.channels |= 1 << part
	} else {
		n.channels = allChannels
	}
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
