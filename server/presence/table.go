package presence

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/publication"
)

// Table is the members of all channels.
type Table struct {
	// Fixed at New.
	config  Config
	now     func() time.Time
	watched func(channel string) bool
	began   time.Time
	seed    maphash.Seed
	work    chan struct{}

	// Shared.
	shards   [shardCount]shard
	members  atomic.Int64
	bytes    atomic.Int64
	unlisted atomic.Uint64
	events   atomic.Uint64
}

// shard is the channels whose name hashes into it.
type shard struct {
	mu       sync.Mutex
	channels map[string]*channel
	leaving  list.List  // of *member without a connection, the first to go in front
	watches  list.List  // of *channel that is watched, the least recently looked at in front
	dirty    []*channel // with something to tell, each once
	_        [32]byte   // the next lock is another cache line's
}

// channel is one that has members, or is watched, or has something to tell.
type channel struct {
	name        string
	members     order
	connections int // of its members

	watch    *list.Element // in watches; nil: nobody wants to know
	lookedAt time.Duration // when somebody did, or Sweep looked for somebody
	alone    bool          // Sweep found nobody
	changes  changes
	dirty    bool          // in shard.dirty, or in the hands of Tick
	sentAt   time.Duration // when the last event was made, or could have been; 0 for never
	unsent   *Event        // the log had no room for it
}

// member is one client on one channel. Guarded by the shard.
type member struct {
	channel     *channel
	client      string
	info        string
	connections int32
	gone        bool          // removed from channel.members
	until       time.Duration // without connections: when the grace ends
	leaving     *list.Element // without connections: in shard.leaving
}

// New returns an empty table. watched tells whether somebody is subscribed to
// the events of a channel right now; now is the clock, time.Now outside tests.
// It starts no goroutine.
func New(c Config, watched func(channel string) bool, now func() time.Time) *Table {
	t := &Table{config: c.WithDefaults(), now: now, watched: watched, began: now(), seed: maphash.MakeSeed(), work: make(chan struct{}, 1)}
	for i := range t.shards {
		t.shards[i].channels = map[string]*channel{}
	}
	return t
}

func (t *Table) shardOf(channel string) *shard {
	return &t.shards[maphash.String(t.seed, channel)%shardCount]
}

// clock is the time since the table was made, by the monotonic clock.
func (t *Table) clock() time.Duration { return t.now().Sub(t.began) }

// Join counts one more connection of client, with info about it ("" for nothing
// new), on channel. It reports whether the client is listed: only then must
// Leave follow. The strings are kept.
//
// Any goroutine may call it. A connection of a known member allocates nothing.
func (t *Table) Join(channel, client, info string) (listed bool) {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	var m *member
	if c != nil {
		m = c.members.get(client)
	}
	if m == nil {
		if c, m = t.addLocked(s, c, channel, client, info); m == nil {
			t.unlisted.Add(1)
			return false
		}
		t.noteLocked(s, c, m)
		c.changes.joined++
	} else if info != "" && info != m.info && t.charge(len(info)-len(m.info)) {
		m.info = info
		t.noteLocked(s, c, m)
	}
	if m.leaving != nil {
		s.leaving.Remove(m.leaving)
		m.leaving = nil
	}
	m.connections++
	c.connections++
	return true
}

// addLocked makes the member, and the channel if c is nil. No member is returned
// if there is no room.
func (t *Table) addLocked(s *shard, c *channel, channel, client, info string) (*channel, *member) {
	if c != nil && c.members.count >= t.config.ChannelMembers {
		return c, nil
	}
	if t.members.Add(1) > int64(t.config.Members) || !t.charge(memberBytes+len(client)+len(info)) {
		t.members.Add(-1)
		return c, nil
	}
	if c == nil {
		if c = t.openLocked(s, channel); c == nil {
			t.members.Add(-1)
			t.charge(-memberBytes - len(client) - len(info))
			return nil, nil
		}
	}
	m := &member{channel: c, client: client, info: info}
	c.members.insert(m)
	return c, m
}

// openLocked makes a channel that is not there; nil if there is no room.
func (t *Table) openLocked(s *shard, name string) *channel {
	if !t.charge(channelBytes + len(name)) {
		return nil
	}
	c := &channel{name: name}
	s.channels[name] = c
	return c
}

// charge counts n bytes, fewer if negative, unless that would be too many.
func (t *Table) charge(n int) bool {
	if t.bytes.Add(int64(n)) > int64(t.config.Bytes) && n > 0 {
		t.bytes.Add(-int64(n))
		return false
	}
	return true
}

// forgetIdleLocked removes c if there is nothing to know about it.
func (t *Table) forgetIdleLocked(s *shard, c *channel) {
	if c.members.count > 0 || c.watch != nil || c.dirty {
		return
	}
	delete(s.channels, c.name)
	t.charge(-channelBytes - len(c.name))
}

// Leave takes back one Join that has listed its client. It panics if there was
// none: the count is broken.
//
// Any goroutine may call it; it allocates when it was the last connection.
func (t *Table) Leave(channel, client string) {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		panic("presence: leave without join")
	}
	m := c.members.get(client)
	if m == nil || m.connections == 0 {
		panic("presence: leave without join")
	}
	m.connections--
	c.connections--
	if m.connections == 0 {
		m.until = t.clock() + t.config.Grace
		m.leaving = s.leaving.PushBack(m)
		t.signal()
	}
}

// EndGrace has client leave channel at once if it has no connection there any
// more. Who has one, or is not listed, stays as it is. Any goroutine may call it.
func (t *Table) EndGrace(channel, client string) {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return
	}
	if m := c.members.get(client); m != nil && m.leaving != nil {
		m.until = t.clock()
		s.leaving.MoveToFront(m.leaving)
		t.signal()
	}
}

// Page is some of the members of a channel, and how many there are.
type Page struct {
	Members     []publication.Member // by client
	More        bool                 // there are others after these
	Count       int                  // members of the channel
	Connections int                  // of all of them
}

// List returns at most limit members of channel whose client is after the given
// one. It copies so many under the lock; any goroutine may call it.
func (t *Table) List(channel, after string, limit int) Page {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return Page{}
	}
	p := Page{Count: c.members.count, Connections: c.connections, Members: make([]publication.Member, 0, min(limit, c.members.count))}
	c.members.after(after, func(m *member) bool {
		p.More = len(p.Members) == limit
		if !p.More {
			p.Members = append(p.Members, publication.Member{Client: m.client, Info: m.info})
		}
		return !p.More
	})
	return p
}

// Stats are counts since the start and gauges of now.
type Stats struct {
	Members  int
	Bytes    int    // as Config.Bytes counts them
	Unlisted uint64 // joins that found no room
	Events   uint64 // published
}

// Stats counts what there is. Any goroutine may call it.
func (t *Table) Stats() Stats {
	return Stats{Members: int(t.members.Load()), Bytes: int(t.bytes.Load()), Unlisted: t.unlisted.Load(), Events: t.events.Load()}
}
