package fanout

import "peal/loop/ring"

// Past is the history of matchers. It knows the publications of all channels in their
// order, back to some sequence. A look at one of them is the unit of its work. Any
// goroutine may call it.
type Past interface {
	// Since appends to dst the retained messages of channels that match with after < sequence ≤ upto,
	// in order, until they are count, or their Size exceeds bytes (at least one, if there
	// is one), or look publications were looked at. covered is the sequence up to which it
	// has done that: upto, if nothing ended it. discarded is the highest sequence ≤ covered
	// of a publication on a channel that matches which no such channel retains, or Floor, if
	// after is less: a gap, if it is greater than after. looked is how many publications
	// were looked at.
	Since(dst []*ring.Message, match func(channel string) bool, after, upto uint64, count, bytes, look int) (msgs []*ring.Message, discarded, covered uint64, looked int)

	// Before returns the newest retained message with a sequence ≤ upto of a channel that
	// matches, nil if none is known. If none is among the newest look publications up to
	// upto, it looks no further: reached is then the sequence of the next one, and else 0.
	Before(match func(channel string) bool, upto uint64, look int) (m *ring.Message, reached uint64, looked int)

	// Floor is the sequence up to which no publication is known any more.
	Floor() uint64
}

const (
	// lookSince is how many publications one merge looks at for the matchers of a view;
	// of each at least leastLook.
	lookSince = 4096
	leastLook = 256
	// leastFirst is the least that is looked at for where a matcher begins.
	leastFirst = 64
	// lookBefore is how many are looked at for a subscription that begins with the last
	// few messages.
	lookBefore = 16384
	// dearLook is the Pattern.Cost for which these are. With a pattern that costs more, fewer
	// are looked at.
	dearLook = 500
)

// weight is how many looks of a cheap pattern one of p is.
func weight(p Pattern) int { return max(1, p.Cost()/dearLook) }

// looks is how many looks of p cost as much as n of a cheap pattern, at least one.
func looks(p Pattern, n int) int { return max(1, n/weight(p)) }

// chargeLooks charges that many looks of p.
func (f *Fan) chargeLooks(p Pattern, looked int) {
	f.charge(looked * (costLooked + (weight(p)-1)*dearLook))
}

// readLike is read for a branch whose channel is a matcher with pattern p. The merge ends
// where that has been read to: the next one continues there.
func (g *merge) readLike(b *branch, p Pattern) (discarded uint64) {
	f := g.fan
	look := looks(p, max(leastLook, lookSince/max(1, g.matchers)))
	var covered uint64
	var looked int
	f.scratch.messages, discarded, covered, looked = f.past.Since(f.scratch.messages, p.Match, b.at, g.limit, max(g.chunk, chunkMessages/4), g.bytes, look)
	f.chargeLooks(p, looked)
	g.limit = min(g.limit, max(covered, b.at))
	return discarded
}

// before is the sequence of the newest message up to upto that p matches, 0 for none.
// budget is how many publications it may still look at; beyond, reached is where it ended.
func (f *Fan) before(p Pattern, upto uint64, budget *int) (sequence, reached uint64) {
	m, reached, looked := f.past.Before(p.Match, upto, looks(p, *budget))
	*budget -= looked * weight(p)
	f.chargeLooks(p, looked)
	if m != nil {
		return m.Sequence, 0
	}
	return 0, reached
}

// firstOf is a position before which p has nothing retained, and nothing will: that before
// the first message that it has, or as far as one look goes without one. among is how many
// channels share the look.
func (f *Fan) firstOf(p Pattern, among int) (position uint64) {
	floor := f.past.Floor()
	msgs, _, covered, looked := f.past.Since(f.scratch.messages[:0], p.Match, floor, f.source.Head(), 1, 1, looks(p, max(leastFirst, lookSince/among)))
	f.chargeLooks(p, looked)
	if len(msgs) == 0 {
		return covered
	}
	covered = msgs[0].Sequence - 1
	clear(msgs)
	return covered
}

// policyOf is the policy of a channel. Those of matchers are resumed.
func (f *Fan) policyOf(channel string) Policy {
	if f.channels.pattern(channel) != nil {
		return Resume
	}
	return f.policy(channel)
}
