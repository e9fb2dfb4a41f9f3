package presence

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"peal/server/share"
)

// A hand-over to the Table of another process, the successor. Members go there as they are, so that nobody joins
// or leaves by it; their connections come behind, as Guests (Guest.HandOver, Table.Take):
//
//	HandOver ── Part ──► Import          of a node also Cluster.HandOver and Cluster.Import
//	Guest.HandOver ── HandedGuest ──► Take
//	                     Settle
//
// A member whose connections have not come by Settle has lost them then, and its grace period begins. One that had none
// has what was left of its grace period.
//
// Nothing may join or leave, and neither Tick, Report nor Sweep run, from before HandOver until the process ends or goes on.

// Part is a piece of what a Table hands over, a value for encoding/gob. Fields may be added.
type Part struct {
	Channels []HandedChannel // before their members
	Members  []HandedMember  // by share, in the order of eviction
	Touched  []HandedRef     // of a node: members that are to be compared with what the log says
}

// HandedRef names a client on a channel.
type HandedRef struct{ Channel, Client string }

// HandedChannel is a channel that has members, or is watched, or has changes to publish.
type HandedChannel struct {
	Name string
	By   share.Key // that opened it

	Watched bool
	Looked  time.Duration // how long ago it was last watched, or checked
	Alone   bool          // it had no watcher then

	// What is not published yet.
	Dirty        bool
	Joined, Left int
	Unnamed      bool
	Noted        []HandedChange
	More         bool          // of the same moment as the last event
	Told         bool          // an event was made, or could have been
	Sent         time.Duration // how long ago
	Unsent       *Event
}

// HandedChange is a member that has changed since the last event.
type HandedChange struct {
	Client, Info string
	Gone, Fresh  bool
	Self         *[16]byte
}

// HandedMember is one client on one channel.
type HandedMember struct {
	Channel, Client, Info string
	By                    share.Key // that has joined first
	Named                 share.Key // of the connection whose info it has
	Leaving               bool
	Grace                 time.Duration // of one that is leaving: what is left, 0 or less for nothing
}

// Most of a part.
const (
	partMembers  = 2048
	partChannels = 1024
)

// errPart is what a part is that no Table has given.
var errPart = errors.New("presence: what was handed over is damaged, or of a later version of Peal")

// HandOver calls give with all channels and members, in parts. It returns the first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	now := t.clock()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		all := make([]HandedChannel, 0, len(s.channels))
		for _, c := range s.channels {
			all = append(all, c.handOver(now))
		}
		s.mu.Unlock()
		for step := range slices.Chunk(all, partChannels) {
			if err := give(&Part{Channels: step}); err != nil {
				return err
			}
		}
	}
	for _, o := range t.accounts.all() {
		for m := o.order.front; m != nil; {
			p := &Part{}
			t.accounts.mu.Lock()
			for ; m != nil && len(p.Members) < partMembers; m = m.order.back {
				h := HandedMember{Channel: m.channel.name, Client: m.person.client(), Info: m.person.info(), By: o.share, Named: m.person.account.share, Leaving: m.leaving}
				if m.leaving {
					h.Grace = m.until() - now
				}
				p.Members = append(p.Members, h)
			}
			t.accounts.mu.Unlock()
			if err := give(p); err != nil {
				return err
			}
		}
	}
	return t.handTouched(give)
}

// handTouched hands over which members a node has still to tell the log of.
func (t *Table) handTouched(give func(*Part) error) error {
	if t.cluster == nil {
		return nil
	}
	refs := t.cluster.toCheck()
	t.report.mu.Lock()
	for channel, clients := range t.report.touched {
		for client := range clients {
			refs = append(refs, HandedRef{channel, client})
		}
	}
	t.report.mu.Unlock()
	for step := range slices.Chunk(refs, partMembers) {
		if err := give(&Part{Touched: step}); err != nil {
			return err
		}
	}
	return nil
}

// all are the accounts that hold something, by share.
func (a *accounts) all() (all []*account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.open {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *account) int { return cmp.Compare(a.share, b.share) })
	return all
}

func (c *channel) handOver(now time.Duration) HandedChannel {
	k := &c.changes
	h := HandedChannel{Name: c.name, By: c.account.share, Watched: c.watch != nil, Looked: now - c.lookedAt, Alone: c.alone,
		Dirty: c.dirty, Joined: k.joined, Left: k.left, Unnamed: k.unnamed, More: c.more, Told: c.sentAt != 0, Sent: now - c.sentAt, Unsent: c.unsent}
	for _, m := range k.members {
		h.Noted = append(h.Noted, HandedChange{m.person.client(), m.person.info(), m.gone, m.fresh, m.self})
	}
	return h
}

// handed is what a successor needs until Settle.
type handed struct {
	channels []HandedChannel // with changes to publish, or watched
	awaited  []*member       // those whose connections are to come
	leaving  []*member

	mu      sync.Mutex
	persons map[handedPerson]*person // which members and guests share, as they did
}

type handedPerson struct {
	by           share.Key
	client, info string
}

// Import takes a part of the Table of another process, into one that is new, before anybody joins. Members and channels for which
// there is no room are left out, and are counted as not listed.
func (t *Table) Import(p *Part) error {
	if t.handed == nil {
		t.handed = &handed{persons: map[handedPerson]*person{}}
	}
	now := t.clock()
	for i := range p.Channels {
		t.takeChannel(&p.Channels[i], now)
	}
	for i := range p.Members {
		if err := t.takeMember(&p.Members[i], now); err != nil {
			return err
		}
	}
	for _, k := range p.Touched {
		if t.cluster != nil {
			t.touch(k.Channel, k.Client)
		}
	}
	return nil
}

func (t *Table) takeChannel(h *HandedChannel, now time.Duration) {
	s := t.shardOf(h.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[h.Name] != nil {
		return
	}
	a := t.accounts.takeChannel(h.By, channelBytes+textBytes(h.Name))
	c := &channel{name: h.Name, account: a, complete: t.isComplete(h.Name), lookedAt: now - h.Looked, alone: h.Alone}
	s.channels[h.Name] = c
	if h.Watched || h.Dirty {
		t.handed.channels = append(t.handed.channels, *h)
	}
}

func (t *Table) takeMember(h *HandedMember, now time.Duration) error {
	s := t.shardOf(h.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[h.Channel]
	if c == nil || c.members.get(h.Client) != nil {
		return errPart
	}
	name := handedPerson{h.Named, h.Client, h.Info}
	m := &member{channel: c, person: t.handed.persons[name]}
	if m.person == nil {
		m.person = newPerson(h.Client, h.Info)
	}
	if c.members.count >= t.config.ChannelMembers || !t.accounts.takeMember(h.By, h.Named, m) {
		if t.unlisted.Add(1); t.cluster != nil {
			t.touch(h.Channel, h.Client)
		}
		return nil
	}
	t.handed.persons[name] = m.person
	c.members.insert(m)
	if !h.Leaving {
		t.handed.awaited = append(t.handed.awaited, m)
		return nil
	}
	m.away().until, m.leaving, m.absent = now+h.Grace, true, true
	t.handed.leaving = append(t.handed.leaving, m)
	return nil
}

// takeChannel charges by for a channel that is handed over, whatever the limits: they held where it was opened.
func (a *accounts) takeChannel(by share.Key, bytes int) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.openLocked(by)
	a.addLocked(o, bytes)
	return o
}

// takeMember charges by for a member that is handed over, and named for its person if that is new, behind those of by that
// were before it. Bytes were counted where it has joined, and are not limited.
func (a *accounts) takeMember(by, named share.Key, m *member) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.openLocked(by)
	if a.members >= a.config.Members || o.members >= a.shareMembers {
		a.addLocked(o, 0) // it may hold nothing
		return false
	}
	a.addLocked(o, memberBytes)
	if m.person.account == nil {
		m.person.account = a.openLocked(named)
		a.addLocked(m.person.account, m.person.bytes())
	}
	m.person.uses++
	a.countLocked(o, 1)
	o.order.pushBack(m)
	m.own(o)
	return true
}

// again counts one more use of p, and reports whether it has any.
func (a *accounts) again(p *person) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p == nil || p.uses == 0 {
		return false
	}
	p.uses++
	return true
}

// takeGuest charges by for a connection whose person is charged already.
func (a *accounts) takeGuest(by share.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addLocked(a.openLocked(by), guestBytes)
}

// HandedGuest is what a Guest hands over, a value for encoding/gob: the connection goes with it.
type HandedGuest struct {
	By           share.Key
	Client, Info string
	Seats        []HandedSeat
	ByURL        bool
	Dismissed    bool
	Self         *[16]byte
}

// HandedSeat is a channel on which a guest is listed, or has another name.
type HandedSeat struct {
	Channel, Client, Info string
	Listed                bool
}

// HandOver returns what there is of the guest, and changes nothing. Call it where its connection is.
func (g *Guest) HandOver() HandedGuest {
	h := HandedGuest{By: g.by(), Client: g.person.client(), Info: g.person.info(), ByURL: g.ByURL, Dismissed: g.Dismissed, Self: g.Self}
	for s := range g.seats {
		h.Seats = append(h.Seats, HandedSeat{s.channel, s.person.client(), s.person.info(), s.member != nil && !g.table().isGone(s.member)})
	}
	return h
}

func (t *Table) isGone(m *member) bool {
	s := t.shardOf(m.channel.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.gone
}

// Take returns the guest of a connection that came with h, in place of Enter and Sit: nobody joins by it. Between the
// last Import and Settle; End must follow. Any goroutine may call it.
func (t *Table) Take(h HandedGuest) *Guest {
	g := t.takeGuest(&h)
	g.ByURL, g.Dismissed, g.Self = h.ByURL, h.Dismissed, h.Self
	others := map[[2]string]*person{}
	seats := map[[2]string]int{}
	for _, k := range h.Seats {
		seats[[2]string{k.Client, k.Info}]++
	}
	for i := range h.Seats {
		k := &h.Seats[i]
		p, key := g.person, [2]string{k.Client, k.Info}
		if k.Client != h.Client || k.Info != h.Info {
			if p = others[key]; p == nil {
				p = t.describeAgain(g, k, seats[key])
				others[key] = p
			}
		}
		s := seat{channel: k.Channel, person: p}
		if k.Listed {
			s.member = t.returns(k.Channel, k.Client)
		}
		if s.member != nil || p.client() != g.person.client() {
			g.add(s)
			t.accounts.sit(h.By, p, 1, false)
		}
	}
	for _, p := range others {
		if p != g.person {
			t.accounts.sit(h.By, p, 0, true) // its seats have it now
		}
	}
	return g
}

// takeGuest is Enter with the person that members have, if there are any.
func (t *Table) takeGuest(h *HandedGuest) *Guest {
	if p := t.personAgain(h.By, h.Client, h.Info); p != nil {
		t.accounts.takeGuest(h.By)
		return &Guest{person: p}
	}
	return t.Enter(h.By, h.Client, h.Info)
}

// describeAgain returns the person of a seat whose name or info is not the guest's own, with one use; the guest's own
// if there is no room for it.
func (t *Table) describeAgain(g *Guest, k *HandedSeat, seats int) *person {
	if p := t.personAgain(g.by(), k.Client, k.Info); p != nil {
		return p
	}
	p := newPerson(k.Client, k.Info)
	if t.accounts.describe(g.by(), p, seats) {
		return p
	}
	return g.person
}

// personAgain returns the person that members have been handed over with, with one more use; nil for none.
func (t *Table) personAgain(by share.Key, client, info string) *person {
	if t.handed == nil {
		return nil
	}
	t.handed.mu.Lock()
	p := t.handed.persons[handedPerson{by, client, info}]
	t.handed.mu.Unlock()
	if !t.accounts.again(p) {
		return nil
	}
	return p
}

// returns counts one more connection of a member that was handed over, nil if it is not there.
func (t *Table) returns(channel, client string) *member {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return nil
	}
	m := c.members.get(client)
	if m == nil {
		return nil
	}
	m.connections++
	c.connections++
	return m
}

// Settle ends the hand-over, when all connections have come.
func (t *Table) Settle() {
	h := t.handed
	if h == nil {
		return
	}
	t.handed = nil
	now := t.clock()
	for _, m := range h.awaited {
		s := t.shardOf(m.channel.name)
		s.mu.Lock()
		if !m.gone && m.connections == 0 {
			m.away().until, m.leaving = now+t.config.Grace, true
			t.accounts.leaves(m)
			h.leaving = append(h.leaving, m)
		}
		s.mu.Unlock()
	}
	slices.Reverse(h.leaving) // in an account, the last to have left is in front
	slices.SortStableFunc(h.leaving, func(a, b *member) int { return cmp.Compare(a.until(), b.until()) })
	for _, m := range h.leaving {
		s := t.shardOf(m.channel.name)
		s.mu.Lock()
		if !m.gone {
			s.leaving.pushBack(m)
		}
		s.mu.Unlock()
	}
	slices.SortStableFunc(h.channels, func(a, b HandedChannel) int { return cmp.Compare(b.Looked, a.Looked) }) // as in shard.watches
	for i := range h.channels {
		t.settleChannel(&h.channels[i], now)
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, c := range s.channels {
			t.forgetIdleLocked(s, c)
		}
		s.mu.Unlock()
	}
	t.signal()
}

// settleChannel has a channel go on with what is to be published.
func (t *Table) settleChannel(h *HandedChannel, now time.Duration) {
	s := t.shardOf(h.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[h.Name]
	if c == nil || t.cluster != nil {
		return
	}
	if h.Watched {
		c.watch = s.watches.PushBack(c)
	}
	k := &c.changes
	k.joined, k.left, k.unnamed = h.Joined, h.Left, h.Unnamed
	for _, n := range h.Noted {
		m := c.members.get(n.Client)
		if n.Gone || m == nil {
			m = &member{channel: c, person: newPerson(n.Client, n.Info), gone: true}
		}
		k.members = append(k.members, noted{m, n.Self, n.Fresh})
	}
	c.more, c.unsent = h.More, h.Unsent
	if h.Told {
		c.sentAt = now - h.Sent
		if c.sentAt == 0 {
			c.sentAt = 1 // 0 is never
		}
	}
	if h.Dirty {
		t.markLocked(s, c)
	}
}
