package ban

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// Table is the bans there are.
type Table struct {
	// Fixed at New.
	most int
	now  func() time.Time

	mu    sync.RWMutex
	bans  map[string]*ban
	order order

	// Shared. Stored under mu. Has, without it, relies on a ban being counted
	// before Ban returns.
	count atomic.Int64
}

type ban struct {
	client string
	until  time.Time
	place  int // in order
}

// New returns an empty table of at most that many bans. now is the clock,
// time.Now outside tests.
func New(most int, now func() time.Time) *Table {
	return &Table{most: most, now: now, bans: map[string]*ban{}}
}

// Ban bans clients, no two of them equal, for that long from now on, whatever
// was said about them before; zero or less lifts their bans. It reports false,
// and bans nobody, if there is no room for all of them: that is made by Sweep,
// too. The strings are kept.
func (t *Table) Ban(clients []string, length time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.bans))) }()
	now := t.now()
	t.expireLocked(now, expireMost)
	if length <= 0 {
		for _, client := range clients {
			if b := t.bans[client]; b != nil {
				t.removeLocked(b)
			}
		}
		return true
	}
	fresh := 0
	for _, client := range clients {
		if t.bans[client] == nil {
			fresh++
		}
	}
	if len(t.bans)+fresh > t.most {
		return false
	}
	until := now.Add(length)
	for _, client := range clients {
		if b := t.bans[client]; b != nil {
			b.until = until
			heap.Fix(&t.order, b.place)
			continue
		}
		b := &ban{client: client, until: until}
		t.bans[client] = b
		heap.Push(&t.order, b)
	}
	return true
}

// Has reports whether client is banned now. It does not allocate.
func (t *Table) Has(client []byte) bool {
	if t.count.Load() == 0 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.bans[string(client)]
	return b != nil && t.now().Before(b.until)
}

// expireMost is how many bans are forgotten in one hold of the lock: at most a
// tenth of a millisecond or two.
const expireMost = 128

// Sweep forgets bans that have ended. Call it about once a second, not on a loop:
// they may be many.
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

// Len is how many bans are remembered, those included that have ended and were
// not swept yet.
func (t *Table) Len() int { return int(t.count.Load()) }

// expireLocked forgets at most that many bans that have ended. more says that
// there may be others.
func (t *Table) expireLocked(now time.Time, most int) (more bool) {
	for ; most > 0 && len(t.order) > 0 && !now.Before(t.order[0].until); most-- {
		t.removeLocked(t.order[0])
	}
	return most == 0
}

func (t *Table) removeLocked(b *ban) {
	heap.Remove(&t.order, b.place)
	delete(t.bans, b.client)
}

// order is the bans as a heap, the first to end in front. It implements
// heap.Interface.
type order []*ban

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].until.Before(o[j].until) }
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].place, o[j].place = i, j
}

func (o *order) Push(b any) {
	b.(*ban).place = len(*o)
	*o = append(*o, b.(*ban))
}

func (o *order) Pop() any {
	last := len(*o) - 1
	b := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return b
}
