package revoke

import (
	"container/heap"
	"time"
)

// A hand-over to the table of another process: all that is revoked as it is, with the time that has elapsed since, so that
// nothing ends earlier or later there.

// Part is a piece of what a table hands over, a value for encoding/gob. Fields may be added.
type Part struct {
	First bool // what the table of the successor has is replaced
	Names []Handed

	// In the first part. Keep is how long the table keeps what is revoked.
	Keep    time.Duration
	Floor   int64 // seconds since 1970, 0 for none
	Floored time.Duration
	Folded  uint64
}

// Handed is one name that is revoked.
type Handed struct {
	Name   string
	IsID   bool          // a jti, else a sub
	Before int64         // of a sub: its tokens that were issued then or earlier, seconds since 1970
	Last   int64         // no token that it is about was issued later, likewise
	Ago    time.Duration // how long ago that was, in time that has elapsed
}

// partNames is the most of a part.
const partNames = 1024

// HandOver calls give with all that is revoked, in parts, of which there is at least one. It holds the lock for one part at a
// time; nothing may be revoked meanwhile. It returns the first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	t.mu.RLock()
	now := t.elapsed()
	p := &Part{First: true, Keep: t.keep, Floor: t.floor.Load(), Floored: now - t.floored.elapsed, Folded: t.folded}
	for k := range t.names {
		for _, e := range t.names[k] {
			p.Names = append(p.Names, Handed{e.name, e.kind == id, e.before, e.last.second, now - e.last.elapsed})
			if len(p.Names) == partNames {
				t.mu.RUnlock()
				if err := give(p); err != nil {
					return err
				}
				p = &Part{}
				t.mu.RLock()
			}
		}
	}
	t.mu.RUnlock()
	if !p.First && len(p.Names) == 0 {
		return nil
	}
	return give(p)
}

// Import takes a part of the table of another process. Orders that are newer than the hand-over come behind it. Where
// there is less room than there was, the floor rises above the tokens of a name, as for Restore.
func (t *Table) Import(p *Part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.order))) }()
	now := t.elapsed()
	if p.First {
		for k := range t.names {
			t.names[k] = map[string]*entry{}
		}
		t.order, t.folded, t.keep = nil, p.Folded, max(t.keep, p.Keep)
		t.floored = moment{p.Floor, now - p.Floored}
		t.floor.Store(p.Floor)
	}
	for i := range p.Names {
		h := &p.Names[i]
		k := subject
		if h.IsID {
			k = id
		}
		switch {
		case t.names[k][h.Name] != nil:
		case len(t.order) >= t.most:
			t.folded++
			t.raiseLocked(h.Last + 1)
		default:
			e := &entry{kind: k, name: h.Name, before: h.Before, last: moment{h.Last, now - h.Ago}}
			t.names[k][h.Name] = e
			heap.Push(&t.order, e)
		}
	}
}
