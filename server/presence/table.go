package presence

import (
	"container/list"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/publication"
	"peal/server/share"
)

// Table has the members of all channels.
type Table struct {
	// Fixed at New.
	config  Config
	now     func() time.Time
	watched func(channel string) bool
	began   time.Time
	seed    maphash.Seed
	work    chan struct{}
	cluster *Cluster // nil: this node has a log of its own
	whole   func(channel string) bool

	onChange func(channel string) // see OnChange; nil for none

	// Shared.
	shards   [shardCount]shard
	accounts accounts
	unlisted atomic.Uint64
	events   atomic.Uint64
	report   reporter // with a cluster

	handed *handed // a hand-over from another process, nil for none; see Import
}

// shard has the channels whose name hashes into it.
type shard struct {
	mu       sync.Mutex
	channels map[string]*channel
	leaving  queue      // without a connection, the first to expire in front
	watches  list.List  // of *channel that is watched, the least recently checked in front
	dirty    []*channel // with changes to publish, each once
	_        [32]byte   // puts the next lock into another cache line
}

// channel is one that has members, or is watched, or has changes to publish.
type channel struct {
	name        string
	account     *account // of the share that opened it
	members     order
	connections int // of its members

	watch    *list.Element // in watches; nil: not watched
	lookedAt time.Duration // when it was last watched, or checked by Sweep
	alone    bool          // Sweep found no watcher
	changes  changes
	dirty    bool          // in shard.dirty, or being handled by Tick
	complete bool          // its events have all names: see UseComplete
	more     bool          // there are changes of the same moment as those of the last event
	sentAt   time.Duration // when the last event was made, or could have been; 0 for never
	unsent   *Event        // the log had no room for it
}

// member is one client on one channel. The shard's lock guards it, except for the
// fields that name the accounts.
//
// 48 bytes, because there may be one for each connection.
type member struct {
	channel     *channel // fixed
	person      *person  // of the connection with the newest info
	order       links    // in the order of its account: guarded by the accounts
	rare        *rare    // nil for most
	connections int32
	gone        bool // removed from channel.members
	leaving     bool // without connections: in shard.leaving
	absent      bool // the same, for the accounts
}

// rare is what few members have.
type rare struct {
	until   time.Duration // without connections: when the grace ends
	leaving links         // in shard.leaving
	account *account      // of the share that created it, if that is not the account of its person
	places  *place        // in a Cluster, which uses person and this only; never nil there
}

// away is rare of a member that has it from now on.
func (m *member) away() *rare {
	if m.rare == nil {
		m.rare = &rare{}
	}
	return m.rare
}

// until is when its grace ends, if it has no connection.
func (m *member) until() time.Duration {
	if m.rare == nil {
		return 0
	}
	return m.rare.until
}

// back forgets what a member has while it has no connection.
func (m *member) back() {
	if m.rare != nil && m.rare.account == nil {
		m.rare = nil
	}
}

// account is that of the share that created the member. It does not change.
func (m *member) account() *account {
	if m.rare != nil && m.rare.account != nil {
		return m.rare.account
	}
	return m.person.account
}

// own notes the account of the share that creates the member, or has created it.
func (m *member) own(o *account) {
	if m.person.account != o {
		m.away().account = o
	} else if m.rare != nil {
		m.rare.account = nil
	}
}

// person has the name and info that a connection sent, which members and seats
// share.
type person struct {
	text    string // the name, then the info
	account *account
	uses    int32 // guarded by the accounts
	length  uint32
}

func newPerson(client, info string) *person {
	return &person{text: client + info, length: uint32(len(client))}
}

func (p *person) client() string { return p.text[:p.length] }
func (p *person) info() string   { return p.text[p.length:] }

func (p *person) bytes() int { return personBytes + textBytes(p.text) }

// New returns an empty table. watched reports whether a client is subscribed to
// the events of a channel now; now is the clock, time.Now outside tests. It starts
// no goroutine.
func New(c Config, watched func(channel string) bool, now func() time.Time) *Table {
	t := &Table{config: c.WithDefaults(), now: now, watched: watched, began: now(), seed: maphash.MakeSeed(), work: make(chan struct{}, 1)}
	t.accounts.init(t.config)
	t.accounts.table = t
	for i := range t.shards {
		t.shards[i].channels = map[string]*channel{}
	}
	return t
}

// UseComplete has the events of the channels that complete picks name all members that joined
// or left, however many these are, in as many events as that takes, and has a new watcher begin without an
// event without names. Their watchers list the members themselves, so their number must be bounded elsewhere.
// Call it before the first join.
func (t *Table) UseComplete(complete func(channel string) bool) { t.whole = complete }

func (t *Table) isComplete(channel string) bool { return t.whole != nil && t.whole(channel) }

func (t *Table) shardOf(channel string) *shard {
	return &t.shards[maphash.String(t.seed, channel)%shardCount]
}

// clock is the time since the table was made, by the monotonic clock.
func (t *Table) clock() time.Duration { return t.now().Sub(t.began) }

// join counts one more connection of p, of the share by, on channel, and returns
// the member; nil if there is no room. The connection has been charged for its
// seat.
func (t *Table) join(by share.Key, p *person, channel string, self *[16]byte) *member {
	for range evictMost {
		m, v := t.tryJoin(by, p, channel, self)
		if m != nil {
			return m
		}
		if v == admitted || !t.evict(by, memberBytes+channelBytes+textBytes(channel)) {
			break
		}
	}
	t.unlisted.Add(1)
	return nil
}

// evictMost is how many members may be evicted for a new one: those that are
// connected free only a part of their bytes.
const evictMost = 8

// tryJoin is one attempt of join. Without a member the verdict is the limit that was
// reached; admitted stands for that of the channel.
func (t *Table) tryJoin(by share.Key, p *person, name string, self *[16]byte) (*member, verdict) {
	s := t.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	var m *member
	if c != nil {
		m = c.members.get(p.client())
	}
	if m == nil {
		var v verdict
		if m, v = t.addLocked(s, c, by, p, name); m == nil {
			return nil, v
		}
		c = m.channel
		t.noteLocked(s, c, m, self, true)
		c.changes.joined++
	} else if p.info() != "" && p.info() != m.person.info() {
		t.accounts.replace(m, p)
		t.noteLocked(s, c, m, self, false)
	}
	if m.leaving {
		s.leaving.remove(m)
		m.leaving = false
		m.back()
		t.accounts.returns(m)
	}
	m.connections++
	c.connections++
	return m, admitted
}

// addLocked makes the member, and the channel if c is nil.
func (t *Table) addLocked(s *shard, c *channel, by share.Key, p *person, name string) (*member, verdict) {
	if t.channelFullLocked(c, name) && !t.thinLocked(s, c, by) {
		return nil, admitted
	}
	m := &member{channel: c, person: p}
	more := 0
	if c == nil {
		more = channelBytes + textBytes(name)
	}
	if v := t.accounts.addMember(by, m, more); v != admitted {
		if c != nil {
			t.forgetIdleLocked(s, c) // if its last member has just been evicted
		}
		return nil, v
	}
	if c == nil {
		c = &channel{name: name, account: m.account(), complete: t.isComplete(name)}
		s.channels[name] = c
		m.channel = c
	}
	c.members.insert(m)
	return m, admitted
}

// channelFullLocked reports whether a channel, which c is if it has members on this node, has
// as many members as it may have.
func (t *Table) channelFullLocked(c *channel, name string) bool {
	count := 0
	if c != nil {
		count = c.members.count
	}
	if t.cluster != nil {
		count += t.cluster.foreign(name)
	}
	return count >= t.config.ChannelMembers
}

// thinLooks is how many members of a full channel are examined for one to evict.
const thinLooks = 16

// thinLocked evicts a member of a full channel for one of the share by, if among a
// few random members there is one whose share has at least twice as many as by. A
// share that fills a channel has nearly all of its members.
func (t *Table) thinLocked(s *shard, c *channel, by share.Key) bool {
	if c == nil || c.members.count == 0 {
		return false // all are on other nodes
	}
	for range thinLooks {
		chunk := c.members.chunks[rand.IntN(len(c.members.chunks))]
		if m := chunk[rand.IntN(len(chunk))]; t.accounts.dwarfs(m.account(), by) {
			t.dropLocked(s, m)
			t.accounts.countEvicted()
			return true
		}
	}
	return false
}

// evict evicts a member to make room for the share by, and reports whether there
// was one.
func (t *Table) evict(by share.Key, bytes int) bool {
	m := t.accounts.victim(by, bytes)
	if m == nil {
		return false
	}
	s := t.shardOf(m.channel.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.gone || m.account().share == by && !m.leaving {
		return true // it has changed meanwhile: try again
	}
	c := m.channel
	t.dropLocked(s, m)
	t.forgetIdleLocked(s, c)
	t.accounts.countEvicted()
	return true
}

// dropLocked removes m from its channel.
func (t *Table) dropLocked(s *shard, m *member) {
	c := m.channel
	if m.leaving {
		s.leaving.remove(m)
		m.leaving = false
	}
	m.gone = true
	c.members.remove(m.person.client())
	c.connections -= int(m.connections)
	t.accounts.dropMember(m)
	t.noteLocked(s, c, m, nil, false)
	c.changes.left++
}

// forgetIdleLocked removes c if it has no members, watchers and changes.
func (t *Table) forgetIdleLocked(s *shard, c *channel) {
	if c.members.count > 0 || c.watch != nil || c.dirty {
		return
	}
	delete(s.channels, c.name)
	t.accounts.give(c.account, channelBytes+textBytes(c.name))
}

// leave ends one join. It does nothing if the member was evicted meanwhile.
func (t *Table) leave(m *member) {
	s := t.shardOf(m.channel.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.gone {
		return
	}
	if m.connections == 0 {
		panic("presence: leave without join")
	}
	m.connections--
	m.channel.connections--
	if m.connections == 0 {
		m.away().until = t.clock() + t.config.Grace
		m.leaving = true
		s.leaving.pushBack(m)
		t.accounts.leaves(m)
		t.signal()
	}
}

// endGrace ends the grace period of m if it has no connection.
func (t *Table) endGrace(m *member) { t.EndGrace(m.channel.name, m.person.client()) }

// EndGrace removes client from channel at once if it has no connection there. It
// does nothing if the client has one or is not listed. Any goroutine may call it.
func (t *Table) EndGrace(channel, client string) {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return
	}
	if m := c.members.get(client); m != nil && m.leaving {
		m.rare.until = t.clock()
		s.leaving.remove(m)
		s.leaving.pushFront(m)
		t.signal()
	}
}

// Page is a part of the members of a channel, and their number.
type Page struct {
	Members     []publication.Member // by client
	More        bool                 // there are more after these
	Count       int                  // members of the channel
	Connections int                  // of all of them; with a Cluster, as far as it is reported
	Incomplete  bool                 // members of some nodes are not known yet
}

// List returns at most limit members of channel whose client is after the given
// one. It copies them under the lock; any goroutine may call it.
func (t *Table) List(channel, after string, limit int) Page {
	if t.cluster != nil {
		p := t.cluster.List(channel, after, limit)
		p.Connections = t.Connections(channel)
		if t.cluster.elsewhere != nil {
			p.Connections += t.cluster.elsewhere(channel)
		}
		return p
	}
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
			p.Members = append(p.Members, publication.Member{Client: m.person.client(), Info: m.person.info()})
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
	Evicted  uint64 // members evicted for others
	Events   uint64 // published; with a Cluster, those that this node made of entries

	Cluster ClusterStats // zero without one
}

// Stats returns the current numbers. Any goroutine may call it.
func (t *Table) Stats() Stats {
	a := &t.accounts
	a.mu.Lock()
	st := Stats{Members: a.members, Bytes: a.bytes, Unlisted: t.unlisted.Load(), Evicted: a.evicted, Events: t.events.Load()}
	a.mu.Unlock()
	if t.cluster != nil {
		st.Cluster = t.cluster.Stats()
		st.Events += st.Cluster.Events
	}
	return st
}
