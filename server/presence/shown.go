package presence

import (
	"slices"
	"strings"

	"peal/server/publication"
)

// Shown returns at most limit members of a complete channel as its events have shown them: without those
// whose join, and with those whose leave, comes in an event that is not made yet. A watcher that
// has subscribed before the call misses nothing, and as a rule receives no change that the list has already. With a Cluster it
// is List. Any goroutine may call it.
func (t *Table) Shown(channel string, limit int) []publication.Member {
	if t.cluster != nil {
		return t.List(channel, "", limit).Members
	}
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return nil
	}
	all := make([]publication.Member, 0, min(limit, c.members.count))
	c.members.after("", func(m *member) bool {
		if !slices.ContainsFunc(c.changes.members, func(k noted) bool { return k.member == m && k.fresh }) {
			all = append(all, publication.Member{Client: m.person.client(), Info: m.person.info()})
		}
		return len(all) < limit
	})
	for _, k := range c.changes.members {
		if k.gone && !k.fresh {
			m := publication.Member{Client: k.person.client(), Info: k.person.info()}
			at, _ := slices.BinarySearchFunc(all, m, byClient)
			all = slices.Insert(all, at, m)
		}
	}
	return all
}

func byClient(a, b publication.Member) int { return strings.Compare(a.Client, b.Client) }
