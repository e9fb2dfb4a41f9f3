package hub_test

import (
	"slices"
	"time"

	"peal/server/hub"
	"peal/server/log"
)

// model is the hub once more, as plainly as can be: slices and a scan for
// everything. It is lazy where the hub is: a channel loses what has expired
// when it is next looked at or swept.
type model struct {
	limits     func(name string) hub.Limits
	total      int
	bucket     func(string) uint64
	now        int64
	channels   map[string]*modelChannel
	published  []string          // channels with history, the least recently published first
	watermarks map[uint64]uint64 // by bucket: what forgotten channels had discarded
	evicted    uint64
	order      []*log.Entry // all publications
}

type modelChannel struct {
	subscribers int
	discarded   uint64
	kept        []kept
}

type kept struct {
	sequence uint64
	size     int
	expires  int64
}

func (m *model) size() (messages, bytes int) {
	for _, c := range m.channels {
		messages += len(c.kept)
		bytes += c.bytes()
	}
	return messages, bytes
}

func (c *modelChannel) bytes() (n int) {
	for _, k := range c.kept {
		n += k.size
	}
	return n
}

func (c *modelChannel) drop(n int) {
	if n > 0 {
		c.discarded = c.kept[n-1].sequence
		c.kept = c.kept[n:]
	}
}

// settle forgets what is empty.
func (m *model) settle(name string) {
	c := m.channels[name]
	if c == nil || len(c.kept) > 0 {
		return
	}
	m.published = slices.DeleteFunc(m.published, func(s string) bool { return s == name })
	if c.subscribers == 0 {
		m.watermarks[m.bucket(name)] = max(m.watermarks[m.bucket(name)], c.discarded)
		delete(m.channels, name)
	}
}

// look drops what has expired in the channel, and returns the channel: for the
// last time, if nothing is left of it.
func (m *model) look(name string) *modelChannel {
	c := m.channels[name]
	if c != nil {
		for i := len(c.kept) - 1; i >= 0; i-- {
			if c.kept[i].expires <= m.now {
				c.drop(i + 1)
				break
			}
		}
		m.settle(name)
	}
	return c
}

func (m *model) open(name string) *modelChannel {
	if m.channels[name] == nil {
		m.channels[name] = &modelChannel{discarded: m.watermarks[m.bucket(name)]}
	}
	return m.channels[name]
}

func (m *model) append(e *log.Entry) {
	if e.Kind == log.KindPresence {
		name := log.PresencePrefix + e.Channel
		m.open(name).discarded = e.Sequence
		m.settle(name)
		return
	}
	m.order = append(m.order, e)
	var names []string
	for _, name := range append([]string{e.Channel}, e.Also...) {
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		limits := m.limits(name)
		age := limits.Age.Milliseconds()
		if e.TTL > 0 {
			age = min(age, e.TTL)
		}
		k := kept{e.Sequence, e.Size(), e.Time + age}
		if limits.Messages < 0 || k.size > limits.Bytes || k.size > m.total || k.expires <= m.now {
			c := m.open(name)
			c.kept, c.discarded = nil, e.Sequence
			m.settle(name)
			continue
		}
		if c := m.channels[name]; c != nil && len(c.kept) > 0 {
			c.subscribers++ // keep it while it is looked at
			m.look(name)
			c.subscribers--
		}
		c := m.open(name)
		if e.Sequence <= c.discarded { // its bucket has just refused it for another
			m.settle(name)
			continue
		}
		for len(c.kept) > 0 && (len(c.kept)+1 > limits.Messages || c.bytes()+k.size > limits.Bytes) {
			c.drop(1)
		}
		c.kept = append(c.kept, k)
		m.published = slices.DeleteFunc(m.published, func(s string) bool { return s == name })
		m.published = append(m.published, name)
	}
	for {
		if _, bytes := m.size(); bytes <= m.total {
			return
		}
		name := m.published[0]
		m.channels[name].drop(1)
		m.evicted++
		m.settle(name)
	}
}

func (m *model) read(name string, after, upto uint64, count, bytes int) (sequences []uint64, discarded uint64, more bool) {
	c := m.look(name)
	if c == nil {
		return nil, m.watermarks[m.bucket(name)], false
	}
	charged := 0
	for _, k := range c.kept {
		if k.sequence <= after || k.sequence > upto {
			continue
		}
		if len(sequences) == count || (len(sequences) > 0 && charged+k.size > bytes) {
			return sequences, c.discarded, true
		}
		charged += k.size
		sequences = append(sequences, k.sequence)
	}
	return sequences, c.discarded, false
}

// retains looks at the channels of e that match until one retains it.
func (m *model) retains(e *log.Entry, match func(string) bool) (matched, retained bool) {
	for _, name := range append([]string{e.Channel}, e.Also...) {
		if match(name) && !retained {
			matched = true
			c := m.look(name)
			retained = c != nil && slices.ContainsFunc(c.kept, func(k kept) bool { return k.sequence == e.Sequence })
		}
	}
	return matched, retained
}

// before is the newest that a matcher has, 0 for none.
func (m *model) before(match func(string) bool) uint64 {
	for _, e := range slices.Backward(m.order) {
		if _, retained := m.retains(e, match); retained {
			return e.Sequence
		}
	}
	return 0
}

// since is what a matcher has of all channels, and what is gone of them.
func (m *model) since(match func(string) bool, after, upto uint64, count int) (sequences []uint64, discarded, covered uint64) {
	covered = after
	for _, e := range m.order {
		if e.Sequence <= after || e.Sequence > upto {
			continue
		}
		matched, retained := m.retains(e, match)
		switch {
		case retained && len(sequences) == count:
			return sequences, discarded, covered
		case retained:
			sequences = append(sequences, e.Sequence)
		case matched:
			discarded = e.Sequence
		}
		covered = e.Sequence
	}
	return sequences, discarded, max(after, upto)
}

func (m *model) newest(name string, n int) uint64 {
	c := m.look(name)
	if c == nil {
		return m.watermarks[m.bucket(name)]
	}
	if n < 0 || n >= len(c.kept) {
		return c.discarded
	}
	return c.kept[len(c.kept)-n-1].sequence
}

func (m *model) join(name string) { m.open(name).subscribers++ }

func (m *model) leave(name string) {
	m.channels[name].subscribers--
	m.settle(name)
}

// sweep looks at the channels of each age until one has something left.
func (m *model) sweep() {
	done := map[time.Duration]bool{}
	for _, name := range slices.Clone(m.published) {
		if age := m.limits(name).Age; !done[age] {
			c := m.look(name)
			done[age] = c != nil && len(c.kept) > 0
		}
	}
}

// list is what Channels says about all of them.
func (m *model) list() (infos []hub.Info) {
	var names []string
	for name := range m.channels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := m.look(name)
		if m.channels[name] == nil || name[0] == '$' {
			continue
		}
		info := hub.Info{Name: name, Subscribers: c.subscribers, Messages: len(c.kept), Bytes: c.bytes(), Discarded: c.discarded}
		if len(c.kept) > 0 {
			info.Oldest, info.Newest = c.kept[0].sequence, c.kept[len(c.kept)-1].sequence
		}
		infos = append(infos, info)
	}
	return infos
}

func (m *model) stats() hub.Stats {
	s := hub.Stats{Channels: len(m.channels), Evicted: m.evicted}
	s.Messages, s.Bytes = m.size()
	for _, c := range m.channels {
		s.Subscribers += c.subscribers
	}
	return s
}
