package fanout

import (
	"slices"

	"peal/loop/ring"
)

// likes finds the matchers of a name by what their patterns begin and end with: a look
// at each length of prefix that some pattern has, and then at most one for each of
// endings. What is left are candidates, which Pattern.Match decides about.
type likes struct {
	groups  map[string]*group // by prefix
	lengths []lengthCount     // of these prefixes
	over    int               // buckets beyond MaxMatchCost
	total   int               // sum of Pattern.Cost: nanoseconds
	overran bool              // a publication has found more than MaxMatchCost, and none has gone since
}

// lengthCount is how many groups have a prefix of that length.
type lengthCount struct{ length, count int }

// group has the matchers of one prefix, by the end of their suffix.
type group struct {
	ends    map[string]*bucket
	lengths [len(endings)]int // how many buckets are for that many bytes
}

// bucket has matchers that the index cannot tell apart: a name that finds one of them finds
// all of them.
type bucket struct {
	likes []*like
	cost  int // sum of Pattern.Cost: nanoseconds
}

const (
	// maxMatchers is how many matchers a loop may have.
	maxMatchers = 16_384
	// MaxMatchCost is how long a publication may have to look at matchers, in nanoseconds, if
	// their patterns are as bad as can be. Those of one bucket are counted when they
	// are added, those of several when a publication finds them.
	MaxMatchCost = 5_000_000
	// maxTotalCost is that for all matchers of a loop: no publication finds more.
	maxTotalCost = 40_000_000
)

// endings are the bytes of a suffix that the index looks at: the most that it has. Few
// of them, so that a group costs a publication few looks.
var endings = [...]int{16, 8, 4, 0}

// ending is the index in endings for a suffix.
func ending(suffix string) int {
	i := 0
	for endings[i] > len(suffix) {
		i++
	}
	return i
}

func (x *likes) add(l *like) {
	prefix, suffix := l.pattern.Prefix(), l.pattern.Suffix()
	g := x.groups[prefix]
	if g == nil {
		if x.groups == nil {
			x.groups = map[string]*group{}
		}
		g = &group{ends: map[string]*bucket{}}
		x.groups[prefix] = g
		x.count(len(prefix), 1)
	}
	i := ending(suffix)
	end := suffix[len(suffix)-endings[i]:]
	b := g.ends[end]
	if b == nil {
		b = &bucket{}
		g.ends[end] = b
		g.lengths[i]++
	}
	l.place = len(b.likes)
	b.likes = append(b.likes, l)
	x.charge(b, l.pattern.Cost())
}

func (x *likes) remove(l *like) {
	prefix, suffix := l.pattern.Prefix(), l.pattern.Suffix()
	g := x.groups[prefix]
	i := ending(suffix)
	end := suffix[len(suffix)-endings[i]:]
	b := g.ends[end]
	x.charge(b, -l.pattern.Cost())
	x.overran = false
	last := len(b.likes) - 1
	moved := b.likes[last]
	b.likes[l.place], moved.place = moved, l.place
	b.likes[last] = nil
	if b.likes = b.likes[:last]; last == 0 {
		delete(g.ends, end)
		g.lengths[i]--
	}
	if len(g.ends) == 0 {
		delete(x.groups, prefix)
		x.count(len(prefix), -1)
	}
}

// charge adds to the cost of a bucket.
func (x *likes) charge(b *bucket, cost int) {
	x.total += cost
	if b.cost > MaxMatchCost {
		x.over--
	}
	if b.cost += cost; b.cost > MaxMatchCost {
		x.over++
	}
}

// Crowded reports whether the loop has more matchers than it may, or more of those
// that one publication finds: members that have many must go.
func (f *Fan) Crowded() bool {
	x := &f.channels.likes
	return len(f.channels.named) > maxMatchers || x.over > 0 || x.overran || x.total > maxTotalCost
}

// MatchersCost is the most that one publication may cost because of the matchers, in
// nanoseconds.
func (f *Fan) MatchersCost() int { return f.channels.likes.total }

// count notes that there is one group more, or less, with a prefix of that length.
func (x *likes) count(length, by int) {
	i, ok := slices.BinarySearchFunc(x.lengths, length, func(c lengthCount, n int) int { return c.length - n })
	if !ok {
		x.lengths = slices.Insert(x.lengths, i, lengthCount{length: length})
	}
	if x.lengths[i].count += by; x.lengths[i].count == 0 {
		x.lengths = slices.Delete(x.lengths, i, i+1)
	}
}

// applyLikes adds m to the channels of matchers: to each once, though several names of m
// may match. There must be a matcher.
func (f *Fan) applyLikes(m *ring.Message) {
	cost := f.applyLike(m.Channel, m)
	for _, name := range m.Also {
		cost = max(cost, f.applyLike(name, m))
	}
	if cost > MaxMatchCost {
		f.channels.likes.overran = true
	}
}

// applyLike returns the cost of the matchers that it has asked about the name.
func (f *Fan) applyLike(name string, m *ring.Message) (cost int) {
	x := &f.channels.likes
	looks, candidates := 0, 0
	for _, c := range x.lengths {
		if c.length > len(name) {
			break
		}
		looks++
		g := x.groups[name[:c.length]]
		if g == nil {
			continue
		}
		for i, n := range endings {
			if g.lengths[i] == 0 || n > len(name) {
				continue
			}
			looks++
			b := g.ends[name[len(name)-n:]]
			if b == nil {
				continue
			}
			candidates += len(b.likes)
			cost += b.cost
			for _, l := range b.likes {
				if l.last != m.Sequence && l.pattern.Match(name) {
					l.last = m.Sequence
					f.addTo(l.channel, m)
				}
			}
		}
	}
	f.charge(looks*costLook + max(candidates*costMatched, cost/costUsual))
	return cost
}
