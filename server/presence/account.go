package presence

import (
	"strings"
	"sync"

	"peal/server/share"
)

// accounts counts what each share (server/share) holds of the table. Its lock is
// the last in the lock order.
type accounts struct {
	// Fixed at New.
	table        *Table
	config       Config
	shareBytes   int
	shareMembers int
	cluster      *Cluster // nil for none; what other nodes have leaves less room

	mu      sync.Mutex
	open    map[share.Key]*account // that hold something
	largest share.Ledger[*account] // by members, which can be evicted
	bytes   int                    // of all
	members int
	evicted uint64
}

// account is what one share holds. Its members are in the order of eviction:
// first those without a connection, the last to have left in front of them, then
// those that are present, the longest present first.
type account struct {
	table   *Table    // fixed, and so is
	share   share.Key // its key
	bytes   int
	members int
	order   queue
}

// verdict is the result of a request for more room.
type verdict uint8

const (
	admitted  verdict = iota
	shareFull         // the share has reached its limit
	tableFull         // all shares together have reached theirs
)

func (a *accounts) init(c Config) {
	a.config = c
	a.open = map[share.Key]*account{}
	a.shareBytes = max(1, int(int64(c.Bytes)*int64(c.Share)/100))
	a.shareMembers = max(1, int(int64(c.Members)*int64(c.Share)/100))
}

// openLocked returns the account of a share, which must then hold something.
func (a *accounts) openLocked(by share.Key) *account {
	o := a.open[by]
	if o == nil {
		o = &account{share: by, order: queue{accounts: true}, table: a.table}
		a.open[by] = o
	}
	return o
}

// admitLocked reports whether by may have that much more.
func (a *accounts) admitLocked(by share.Key, bytes, members int) verdict {
	if o := a.open[by]; o != nil && (o.bytes+bytes > a.shareBytes || o.members+members > a.shareMembers) {
		return shareFull
	}
	switch {
	case bytes > a.shareBytes || members > a.shareMembers:
		return shareFull
	case a.bytes+bytes > a.config.Bytes || a.members+members > a.config.Members:
		return tableFull
	case a.cluster != nil && members > 0 && a.cluster.full(a.bytes+bytes, a.members+members):
		return tableFull
	}
	return admitted
}

// watch charges by for a channel without members, if it may have more. Watched
// channels leave a quarter of the table to members.
func (a *accounts) watch(by share.Key, bytes int) (*account, verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.admitLocked(by, bytes, 0); v != admitted {
		return nil, v
	}
	if a.bytes+bytes > a.config.Bytes-a.config.Bytes/4 {
		return nil, tableFull
	}
	o := a.openLocked(by)
	a.addLocked(o, bytes)
	return o, admitted
}

// enter charges by for a connection with the name p, which then has one use. It is
// never refused, because connections have a limit of their own; but without room
// its info is dropped.
func (a *accounts) enter(by share.Key, p *person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admitLocked(by, guestBytes+p.bytes(), 0) != admitted {
		p.text = strings.Clone(p.client())
	}
	p.account, p.uses = a.openLocked(by), 1
	a.addLocked(p.account, guestBytes+p.bytes())
}

// describe charges by for p, which then has one use, if by may have p and that many
// seats.
func (a *accounts) describe(by share.Key, p *person, seats int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admitLocked(by, p.bytes()+seats*seatBytes, 0) != admitted {
		return false
	}
	p.account, p.uses = a.openLocked(by), 1
	a.addLocked(p.account, p.bytes())
	return true
}

// sit charges by for that many seats of p. With last the use of describe ends.
func (a *accounts) sit(by share.Key, p *person, seats int, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addLocked(a.openLocked(by), seats*seatBytes)
	if p.uses += int32(seats); last {
		a.releaseLocked(p, 1)
	}
}

// rise credits by with a seat of p.
func (a *accounts) rise(by share.Key, p *person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(p, 1)
	a.addLocked(a.openLocked(by), -seatBytes)
}

// end credits by with a connection with the name p.
func (a *accounts) end(by share.Key, p *person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releaseLocked(p, 1)
	a.addLocked(a.openLocked(by), -guestBytes)
}

// addMember charges by for m, and for more bytes beside it, if by may have them.
func (a *accounts) addMember(by share.Key, m *member, more int) verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.admitLocked(by, memberBytes+more, 1); v != admitted {
		return v
	}
	o := a.openLocked(by)
	a.addLocked(o, memberBytes+more)
	a.countLocked(o, 1)
	o.order.pushBack(m)
	m.own(o)
	m.person.uses++
	return admitted
}

// dropMember credits the account of m, which has been removed from its channel.
func (a *accounts) dropMember(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m.account().order.remove(m)
	a.countLocked(m.account(), -1)
	a.addLocked(m.account(), -memberBytes)
	a.releaseLocked(m.person, 1)
}

// give credits o with bytes.
func (a *accounts) give(o *account, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addLocked(o, -bytes)
}

func (a *accounts) addLocked(o *account, bytes int) {
	o.bytes += bytes
	a.bytes += bytes
	if o.bytes == 0 {
		delete(a.open, o.share)
	}
}

func (a *accounts) countLocked(o *account, members int) {
	o.members += members
	a.members += members
	entry := a.largest.Open(o.share)
	entry.Own = o
	a.largest.Add(entry, members)
}

// releaseLocked ends uses of p; with the last one its texts are credited.
func (a *accounts) releaseLocked(p *person, uses int) {
	if p.uses -= int32(uses); p.uses == 0 {
		a.addLocked(p.account, -p.bytes())
	}
}

// leaves and returns keep the order of the account of m.
func (a *accounts) leaves(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m.account().order.remove(m)
	m.account().order.pushFront(m)
	m.absent = true
}

func (a *accounts) returns(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m.account().order.remove(m)
	m.account().order.pushBack(m)
	m.absent = false
}

// victim is the member to evict so that by may have one more member, and that many
// bytes; nil if there is none. In a full table it is one of the share with the most
// members, if that share then still has at least as many as by; else one of by
// itself without a connection.
func (a *accounts) victim(by share.Key, bytes int) *member {
	a.mu.Lock()
	defer a.mu.Unlock()
	largest := a.largest.Largest()
	if largest != nil && a.admitLocked(by, bytes, 1) == tableFull && largest.Held()-1 >= a.largest.Held(by)+1 {
		return largest.Own.order.front
	}
	if own := a.open[by]; own != nil && own.order.front != nil && own.order.front.absent {
		return own.order.front
	}
	return nil
}

func (a *accounts) countEvicted() {
	a.mu.Lock()
	a.evicted++
	a.mu.Unlock()
}

// dwarfs reports whether o has at least twice as many members as by with one more.
func (a *accounts) dwarfs(o *account, by share.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return o.share != by && o.members >= 2*(a.largest.Held(by)+1)
}

// replace makes p the person of m.
func (a *accounts) replace(m *member, p *person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.uses++
	o, was := m.account(), m.person
	m.person = p
	m.own(o)
	a.releaseLocked(was, 1)
}
