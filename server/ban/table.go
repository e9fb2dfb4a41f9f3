package ban

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"peal/server/share"
)

// Table has all bans.
type Table struct {
	// Fixed at New.
	most, shareMost int
	now             func() time.Time

	mu      sync.RWMutex
	bans    map[string]*ban
	order   order // of all
	shares  share.Ledger[*order]
	evicted uint64

	// Shared. Stored under mu. Has, without it, relies on a ban being counted
	// before Ban returns.
	count atomic.Int64
}

type ban struct {
	client string
	until  time.Time
	by     *share.Account[*order] // the share that requested it first
	places [orders]int
}

// New returns an empty table of at most that many bans, and at most shareMost of
// one share. now is the clock, time.Now outside tests.
func New(most, shareMost int, now func() time.Time) *Table {
	return &Table{most: most, shareMost: shareMost, now: now, bans: map[string]*ban{}}
}

// Ban bans clients, no two of them equal, for length from now on, which is until the
// moment that it returns; it replaces earlier bans, and zero or less lifts them. by is
// the share of the request. The refused are the clients without room: the share has
// reached its limit, or the table is full and no other share has more. Otherwise, in a
// full table, it evicts the ban of the largest share that would end first. Sweep makes
// room, too. The strings are kept.
func (t *Table) Ban(by share.Key, clients []string, length time.Duration) (refused []string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.bans))) }()
	now := t.now()
	t.expireLocked(now, expireMost)
	until = now.Add(length)
	for _, client := range clients {
		b := t.bans[client]
		switch {
		case length <= 0:
			if b != nil {
				t.removeLocked(b)
			}
		case b != nil:
			t.prolongLocked(b, until)
		case !t.makeRoomLocked(by, now):
			refused = append(refused, client)
		default:
			t.addLocked(by, client, until)
		}
	}
	return refused, until
}

// Longest is how long a ban may last. One that is restored does not last longer either,
// if the clock was set back in between.
const Longest = 24 * time.Hour

// Restore bans a client until that moment, whatever was said about it before: an
// order of before a restart, or of another node. A moment that has passed lifts the
// ban. The bans belong to share.Restored, which may have all the room there is; when
// that is used up, those that end first go.
func (t *Table) Restore(client string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.bans))) }()
	now := t.now()
	left := min(until.Sub(now), Longest)
	b := t.bans[client]
	switch {
	case left <= 0:
		if b != nil {
			t.removeLocked(b)
		}
	case b != nil:
		t.prolongLocked(b, now.Add(left))
	default:
		if len(t.bans) >= t.most {
			first := t.order.bans[0]
			if now.Add(left).Before(first.until) {
				t.evicted++
				return
			}
			t.removeLocked(first)
			t.evicted++
		}
		t.addLocked(share.Restored, client, now.Add(left))
	}
}

// collectStep is how many bans Each looks at in one hold of the lock.
const collectStep = 512

// Each calls f for each ban that is in force. Those that are made or end meanwhile
// may be among them or not. f runs with the lock held, for so many bans at a time,
// and must not block.
func (t *Table) Each(f func(client string, until time.Time)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	now, seen := t.now(), 0
	for client, b := range t.bans {
		if seen++; seen%collectStep == 0 { // a map may change between the steps of a range
			t.mu.RUnlock()
			t.mu.RLock()
		}
		if now.Before(b.until) && t.bans[client] == b {
			f(client, b.until)
		}
	}
}

// makeRoomLocked makes room for one more ban of a share, or reports that there
// is none.
func (t *Table) makeRoomLocked(by share.Key, now time.Time) bool {
	if a := t.shares.Open(by); a.Held() >= t.shareMost {
		first := a.Own.bans[0]
		if now.Before(first.until) {
			return false
		}
		t.removeLocked(first)
	}
	if len(t.bans) < t.most {
		return true
	}
	t.expireLocked(now, 1)
	if len(t.bans) < t.most {
		return true
	}
	largest := t.shares.Largest()
	if largest == nil || largest.Held() <= t.shares.Held(by)+1 {
		return false
	}
	t.removeLocked(largest.Own.bans[0])
	t.evicted++
	return true
}

// Has reports whether client is banned now. It does not allocate.
func (t *Table) Has(client []byte) bool {
	if t.count.Load() == 0 {
		return false
	}
	return t.HasText(unsafe.String(unsafe.SliceData(client), len(client))) // only looked up
}

// HasText is Has for a text.
func (t *Table) HasText(client string) bool {
	if t.count.Load() == 0 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.bans[client]
	return b != nil && t.now().Before(b.until)
}

// expireMost is how many bans are removed in one hold of the lock, which takes at
// most 0.1 to 0.2 ms.
const expireMost = 128

// Sweep removes bans that have ended. Call it about once a second, not on a loop:
// there may be many.
func (t *Table) Sweep() {
	for t.count.Load() > 0 && t.expire() {
	}
}

func (t *Table) expire() (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.bans))) }()
	return t.expireLocked(t.now(), expireMost)
}

// Until is when the ban of a client ends, the zero time if there is none.
func (t *Table) Until(client string) (until time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if b := t.bans[client]; b != nil && t.now().Before(b.until) {
		until = b.until
	}
	return until
}

// Len is how many bans are remembered, including those that have ended and were not
// removed yet.
func (t *Table) Len() int { return int(t.count.Load()) }

// Evicted is how many bans were evicted before their end, in favour of others.
func (t *Table) Evicted() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.evicted
}

// expireLocked removes at most most bans that have ended. more reports that there
// may be others.
func (t *Table) expireLocked(now time.Time, most int) (more bool) {
	for ; most > 0 && len(t.bans) > 0 && !now.Before(t.order.bans[0].until); most-- {
		t.removeLocked(t.order.bans[0])
	}
	return most == 0
}

// addLocked bans a client that is not banned.
func (t *Table) addLocked(by share.Key, client string, until time.Time) {
	a := t.shares.Open(by)
	if a.Held() == 0 {
		a.Own = &order{index: inOwn}
	}
	b := &ban{client: client, until: until, by: a}
	t.bans[client] = b
	heap.Push(&t.order, b)
	heap.Push(a.Own, b)
	t.shares.Add(a, 1)
}

// prolongLocked has a ban end at another moment.
func (t *Table) prolongLocked(b *ban, until time.Time) {
	b.until = until
	heap.Fix(&t.order, b.places[inAll])
	heap.Fix(b.by.Own, b.places[inOwn])
}

func (t *Table) removeLocked(b *ban) {
	heap.Remove(&t.order, b.places[inAll])
	heap.Remove(b.by.Own, b.places[inOwn])
	t.shares.Add(b.by, -1)
	delete(t.bans, b.client)
}
