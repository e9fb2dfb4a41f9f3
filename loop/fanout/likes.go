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
}

// lengthCount is how many groups have a prefix of that length.
type lengthCount struct{ length, count int }

// group has the matchers of one prefix, by the end of their suffix.
type group struct {
	ends    map[string][]*like
	lengths [len(endings)]int // how many are in ends with that many bytes
}

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
		g = &group{ends: map[string][]*like{}}
		x.groups[prefix] = g
		x.count(len(prefix), 1)
	}
	i := ending(suffix)
	end := suffix[len(suffix)-endings[i]:]
	g.ends[end] = append(g.ends[end], l)
	g.lengths[i]++
}

func (x *likes) remove(l *like) {
	prefix, suffix := l.pattern.Prefix(), l.pattern.Suffix()
	g := x.groups[prefix]
	i := ending(suffix)
	end := suffix[len(suffix)-endings[i]:]
	all := g.ends[end]
	at := slices.Index(all, l)
	all[at] = all[len(all)-1]
	all[len(all)-1] = nil
	if all = all[:len(all)-1]; len(all) > 0 {
		g.ends[end] = all
	} else {
		delete(g.ends, end)
	}
	g.lengths[i]--
	if len(g.ends) == 0 {
		delete(x.groups, prefix)
		x.count(len(prefix), -1)
	}
}

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
	f.applyLike(m.Channel, m)
	for _, name := range m.Also {
		f.applyLike(name, m)
	}
}

func (f *Fan) applyLike(name string, m *ring.Message) {
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
			all := g.ends[name[len(name)-n:]]
			candidates += len(all)
			for _, l := range all {
				if l.last != m.Sequence && l.pattern.Match(name) {
					l.last = m.Sequence
					f.addTo(l.channel, m)
				}
			}
		}
	}
	f.charge(looks*costLook + candidates*costMatched)
}
