package revoke

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/grant"
)

// Table has what is revoked.
type Table struct {
	// Fixed at New.
	most    int
	now     func() time.Time
	elapsed func() time.Duration // since New, whatever happens to the clock

	mu      sync.RWMutex
	keep    time.Duration // how long a token can be valid after it was issued
	names   [kinds]map[string]*entry
	order   order
	floored moment // of the floor
	folded  uint64

	// Shared. Stored under mu. Has, without it, relies on an entry being counted
	// before Revoke returns, and on the floor being stored before Raise returns.
	count atomic.Int64
	floor atomic.Int64
}

// kind says what a name is.
type kind uint8

const (
	subject kind = iota // sub
	id                  // jti
	kinds
)

// entry is one name that is revoked.
type entry struct {
	kind   kind
	name   string
	before int64  // of a subject: tokens that were issued then or earlier
	last   moment // no token that the entry is about was issued later
	place  int    // in Table.order
}

// moment is a second of the clock, and when it was in the time that has elapsed,
// which no change of the clock moves.
type moment struct {
	second  int64
	elapsed time.Duration
}

func (t *Table) moment(second int64) moment {
	const century = 100 * 365 * 24 * 3600 // a Duration holds no more than three
	ago := max(-century, min(t.now().Unix()-second, century))
	return moment{second, t.elapsed() - time.Duration(ago)*time.Second}
}

// New returns an empty table of at most that many names. keep is how long a token can
// be valid after it was issued: the longest lifetime and the leeway. now is the
// clock, time.Now outside tests.
func New(most int, keep time.Duration, now func() time.Time) *Table {
	start := now()
	t := &Table{most: most, keep: keep, now: now, elapsed: func() time.Duration { return now().Sub(start) }}
	for k := range t.names {
		t.names[k] = map[string]*entry{}
	}
	return t
}

// Keep has the table keep what is revoked for as long as d, if it does not do so for
// longer already. It does so for what is revoked already, too.
func (t *Table) Keep(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep = max(t.keep, d)
}

// Revoke revokes the tokens of o, which are refused when it returns; given is the second
// of the order, for Restore. It reports false, and revokes nothing, when there is no room
// for all names of o. Sweep makes room. The strings of o are kept.
func (t *Table) Revoke(o *Order) (given int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(expireMost)
	if t.missingLocked(o) > t.most-len(t.order) {
		return 0, false
	}
	given = t.now().Unix()
	t.addLocked(o, given)
	return given, true
}

// Restore revokes the tokens of o, an order of before a restart, or of another node,
// which was given at that second. Where there is no room for a name the floor rises
// instead, above all tokens that o is about.
func (t *Table) Restore(o *Order, given int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := max(given, o.Before)
	if t.endedLocked(t.moment(last)) {
		return
	}
	t.expireLocked(expireMost)
	if t.missingLocked(o) > t.most-len(t.order) {
		t.folded++
		t.raiseLocked(last + 1)
		return
	}
	t.addLocked(o, given)
}

// Raise has the table refuse all tokens that were issued before that second, if it
// does not refuse more already.
func (t *Table) Raise(before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raiseLocked(before)
}

func (t *Table) raiseLocked(before int64) {
	at := t.moment(before)
	if before <= t.floor.Load() || t.endedLocked(at) {
		return
	}
	t.floor.Store(before)
	t.floored = at
}

// missingLocked is how many names of o have no entry yet.
func (t *Table) missingLocked(o *Order) (n int) {
	for k, names := range [kinds]map[string]struct{}{o.Subjects, o.IDs} {
		for name := range names {
			if t.names[k][name] == nil {
				n++
			}
		}
	}
	return n
}

// addLocked has an entry for each name of o, which was given at that second.
func (t *Table) addLocked(o *Order, given int64) {
	defer func() { t.count.Store(int64(len(t.order))) }()
	for k, names := range [kinds]map[string]struct{}{o.Subjects, o.IDs} {
		last := t.moment(given)
		if kind(k) == subject {
			last = t.moment(max(given, o.Before))
		}
		for name := range names {
			e := t.names[k][name]
			if e == nil {
				e = &entry{kind: kind(k), name: name, before: o.Before, last: last}
				t.names[k][name] = e
				heap.Push(&t.order, e)
				continue
			}
			e.before = max(e.before, o.Before)
			e.last = moment{max(e.last.second, last.second), max(e.last.elapsed, last.elapsed)}
			heap.Fix(&t.order, e.place)
		}
	}
}

// Has reports whether the token of g is revoked, or issued before the floor. g may be
// nil; keys and anonymous clients have no tokens. It does not allocate.
func (t *Table) Has(g *grant.Grant) bool {
	if g == nil || g.Kind != grant.User {
		return false
	}
	if t.IsUnknown(g) {
		return true
	}
	if t.count.Load() == 0 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.names[subject][g.Subject]; e != nil && g.Issued <= e.before {
		return true
	}
	return g.ID != "" && t.names[id][g.ID] != nil
}

// IsUnknown reports whether the token of g was issued before the floor: whether it was
// revoked is not known. Tokens of the Mercure protocol are not asked when they were issued:
// most do not say it, and many are signed once for years.
func (t *Table) IsUnknown(g *grant.Grant) bool {
	return g != nil && g.Kind == grant.User && !g.Topics && g.Issued < t.floor.Load()
}

// Floor is the second before which all tokens are refused, 0 for none.
func (t *Table) Floor() int64 { return t.floor.Load() }

// Stats is what operators see of a table.
type Stats struct {
	Names  int    // that are revoked, including those whose tokens have expired and that were not removed yet
	Floor  int64  // the second before which all tokens are refused, 0 for none
	Folded uint64 // orders that had no room when they were restored, and raised the floor
}

// Stats returns the numbers of this moment.
func (t *Table) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return Stats{len(t.order), t.floor.Load(), t.folded}
}

// collectStep is how many entries Each looks at in one hold of the lock.
const collectStep = 512

// Each calls f for each name that is revoked: isID says that it is a jti, else it is
// a sub, whose tokens are revoked that were issued at before or earlier. last is the
// second of the newest token that it can be about. Names that come or end meanwhile
// may be among them or not. f runs with the lock held, for so many names at a time,
// and must not block.
func (t *Table) Each(f func(name string, isID bool, before, last int64)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	seen := 0
	for k := range t.names {
		for name, e := range t.names[k] {
			if seen++; seen%collectStep == 0 { // a map may change between the steps of a range
				t.mu.RUnlock()
				t.mu.RLock()
			}
			if t.names[k][name] == e {
				f(name, e.kind == id, e.before, e.last.second)
			}
		}
	}
}

// expireMost is how many entries are removed in one hold of the lock.
const expireMost = 128

// Sweep removes names whose tokens have all expired, and a floor likewise. Call it
// about once a second, not on a loop: there may be many.
func (t *Table) Sweep() {
	for (t.count.Load() > 0 || t.floor.Load() > 0) && t.expire() {
	}
}

func (t *Table) expire() (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.floor.Load() > 0 && t.endedLocked(t.floored) {
		t.floor.Store(0)
	}
	return t.expireLocked(expireMost)
}

// expireLocked removes at most most entries whose tokens have expired. more reports
// that there may be others.
func (t *Table) expireLocked(most int) (more bool) {
	defer func() { t.count.Store(int64(len(t.order))) }()
	for ; most > 0 && len(t.order) > 0; most-- {
		e := t.order[0]
		if !t.endedLocked(e.last) {
			break
		}
		heap.Pop(&t.order)
		delete(t.names[e.kind], e.name)
	}
	return most == 0
}

// endedLocked reports whether all tokens that were issued up to last have expired: by
// the clock, which decides when tokens expire, and by the time that has elapsed. So a
// clock that was set forward and back again ends nothing.
func (t *Table) endedLocked(last moment) bool {
	return t.now().Unix()-last.second > int64(t.keep/time.Second)+1 && t.elapsed()-last.elapsed > t.keep
}

// order is a heap of entries, the first to end in front. It implements
// heap.Interface.
type order []*entry

func (o order) Len() int { return len(o) }

func (o order) Less(i, j int) bool { return o[i].last.second < o[j].last.second }

func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].place, o[j].place = i, j
}

func (o *order) Push(x any) {
	e := x.(*entry)
	e.place = len(*o)
	*o = append(*o, e)
}

func (o *order) Pop() any {
	last := len(*o) - 1
	e := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return e
}
