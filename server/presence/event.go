package presence

import (
	"strconv"
	"time"

	"peal/server/publication"
	"peal/server/share"
)

// Event describes how the members of a channel have changed since the event before.
type Event struct {
	Channel string
	Count   int // members now

	// Members that joined or have new info, and members that left: the newest state
	// of each client, which is in one of them at most. Empty if Unnamed.
	Join, Leave []publication.Member

	// Exclude is the session that does not receive the event, which is the join of its
	// own client; nil for none.
	Exclude *[16]byte

	// Unnamed events have counts only.
	Unnamed      bool
	Joined, Left int
}

// changes are those of a channel's members since its last event.
type changes struct {
	members      []noted // each client once; at most Config.Named, but for complete channels
	joined, left int
	unnamed      bool // there were more changes, or their names are not known
}

// OnChange has f called for each channel whose members have changed, those of all nodes with a
// Cluster. It runs under a lock and must be quick. Call it before anything else.
func (t *Table) OnChange(f func(channel string)) {
	if t.cluster != nil {
		t.cluster.onChange = f
		return
	}
	t.onChange = f
}

// noted is a member that has changed, and the session that it has joined with, if that
// is not to receive the event. fresh: it has joined since the last event.
type noted struct {
	*member
	self  *[16]byte
	fresh bool
}

// noteLocked adds to the next event that m has joined, changed or left.
func (t *Table) noteLocked(s *shard, c *channel, m *member, self *[16]byte, fresh bool) {
	if t.onChange != nil {
		t.onChange(c.name)
	}
	if t.cluster != nil {
		t.touch(c.name, m.person.client())
		return
	}
	if c.watch == nil {
		return
	}
	t.markLocked(s, c)
	k := &c.changes
	if k.unnamed {
		return
	}
	for i, other := range k.members {
		if other.person.client() == m.person.client() {
			k.members[i] = noted{m, self, fresh || other.fresh}
			return
		}
	}
	if !c.complete && (len(k.members) == t.config.Named || c.members.count > t.config.Named) {
		k.unnamed, k.members = true, nil
		return
	}
	k.members = append(k.members, noted{m, self, fresh})
}

// markLocked makes Tick create an event for c.
func (t *Table) markLocked(s *shard, c *channel) {
	if !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
	t.signal()
}

// signal reports that Tick has something to do.
func (t *Table) signal() {
	select {
	case t.work <- struct{}{}:
	default: // signalled already
	}
}

// Watch makes changes of channel cause events, until it has had no watcher for a
// minute or two. It reports false if there is no room for another channel, or
// none for one of the share by.
//
// A channel without watchers publishes no changes, so its first watcher may have
// missed some: it begins with an event without names.
//
// With a Cluster all channels publish their changes, so there is nothing to do.
func (t *Table) Watch(by share.Key, name string) bool {
	if t.cluster != nil {
		return true
	}
	s := t.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	if c == nil {
		a, v := t.accounts.watch(by, channelBytes+textBytes(name))
		if v != admitted {
			return false
		}
		c = &channel{name: name, account: a, complete: t.isComplete(name)}
		s.channels[name] = c
	}
	c.lookedAt, c.alone = t.clock(), false
	if c.watch != nil {
		s.watches.MoveToBack(c.watch)
		return true
	}
	c.watch = s.watches.PushBack(c)
	c.changes = changes{unnamed: !c.complete}
	c.sentAt = max(c.lookedAt, 1) // so that members that join together with it are in its first event
	if c.changes.unnamed {
		t.markLocked(s, c)
	}
	return true
}

// due reports whether an event of c may be made now.
func (t *Table) due(c *channel, now time.Duration) bool {
	every := TickEvery
	if c.members.count > t.config.Named && !c.complete {
		every = crowdEvery
	}
	return c.more || c.unsent != nil || c.sentAt == 0 || now-c.sentAt >= every
}

// event returns the event for c.changes, and clears them. Of a complete channel it may be
// the event for the first of them: then more is set, and the others are left.
func (t *Table) event(c *channel) *Event {
	k := &c.changes
	if c.complete && !k.unnamed {
		return c.part()
	}
	e := &Event{Channel: c.name, Count: c.members.count}
	if k.unnamed || c.members.count > t.config.Named {
		e.Unnamed, e.Joined, e.Left = true, k.joined, k.left
	} else {
		e.Join = make([]publication.Member, 0, len(k.members))
		for _, m := range k.members {
			if m.gone {
				e.Leave = append(e.Leave, publication.Member{Client: m.person.client()})
			} else {
				e.Join = append(e.Join, publication.Member{Client: m.person.client(), Info: m.person.info()})
			}
		}
		e.Joined, e.Left = k.joined, k.left
	}
	c.changes = changes{}
	return e
}

// part returns the event for the first changes of a complete channel. A join that its
// own session does not receive has an event of its own.
func (c *channel) part() *Event {
	k := &c.changes
	e := &Event{Channel: c.name, Count: c.members.count, Join: []publication.Member{}}
	n, bytes := 0, 0
	for _, m := range k.members {
		bytes += 3 * (len(m.person.client()) + len(m.person.info()) + 16) // about
		if n > 0 && (bytes > eventBytes/2 || e.Exclude != nil || m.self != nil && !m.gone) {
			break
		}
		n++
		if m.gone {
			e.Leave = append(e.Leave, publication.Member{Client: m.person.client()})
			continue
		}
		e.Join = append(e.Join, publication.Member{Client: m.person.client(), Info: m.person.info()})
		e.Exclude = m.self
	}
	e.Joined, e.Left = len(e.Join), len(e.Leave)
	if c.more = n < len(k.members); c.more {
		k.members = k.members[n:]
	} else {
		c.changes = changes{}
	}
	return e
}

// eventBytes bounds the data of an event, so that any ring has room for it.
const eventBytes = 32 << 10

// JSON is the event as the data of an entry of the log: an object without the
// channel and the cursor, which publication.AppendPresence adds for delivery. If
// names would make it longer than 32 KiB, it has counts only.
func (e *Event) JSON() []byte {
	if !e.Unnamed {
		b := e.appendCount(make([]byte, 0, 256))
		b = append(b, `,"join":`...)
		b = publication.AppendMembers(b, e.Join)
		b = append(b, `,"leave":`...)
		b = publication.AppendMembers(b, e.Leave)
		if len(b) < eventBytes {
			return append(b, '}')
		}
	}
	b := e.appendCount(make([]byte, 0, 64))
	b = append(b, `,"joined":`...)
	b = strconv.AppendInt(b, int64(e.Joined), 10)
	b = append(b, `,"left":`...)
	b = strconv.AppendInt(b, int64(e.Left), 10)
	return append(b, '}')
}

func (e *Event) appendCount(b []byte) []byte {
	b = append(b, `{"count":`...)
	return strconv.AppendInt(b, int64(e.Count), 10)
}
