package ban

import (
	"time"

	"peal/server/share"
)

// A hand-over to the table of another process: all bans as they are, with their shares, so that limits hold on.

// Part is a piece of what a table hands over, a value for encoding/gob. Fields may be added.
type Part struct {
	First   bool // what the table of the successor has is replaced
	Bans    []Handed
	Evicted uint64 // in the first part
}

// Handed is one ban.
type Handed struct {
	Client string
	Until  int64 // nanoseconds since 1970
	By     share.Key
}

// partBans is the most of a part.
const partBans = 1024

// HandOver calls give with all bans, in parts, of which there is at least one. It holds the lock for one part at a time;
// nothing may be banned meanwhile. It returns the first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	t.mu.RLock()
	p := &Part{First: true, Evicted: t.evicted}
	for _, b := range t.bans {
		p.Bans = append(p.Bans, Handed{b.client, b.until.UnixNano(), b.by.Key})
		if len(p.Bans) == partBans {
			t.mu.RUnlock()
			if err := give(p); err != nil {
				return err
			}
			p = &Part{}
			t.mu.RLock()
		}
	}
	t.mu.RUnlock()
	if !p.First && len(p.Bans) == 0 {
		return nil
	}
	return give(p)
}

// Import takes a part of the table of another process. Orders that are newer than the hand-over come
// behind it. Where there is less room than there was, the bans that end first go, which is counted.
func (t *Table) Import(p *Part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.count.Store(int64(len(t.bans))) }()
	if p.First {
		t.bans, t.order, t.shares, t.evicted = map[string]*ban{}, order{}, share.Ledger[*order]{}, p.Evicted
	}
	now := t.now()
	for i := range p.Bans {
		h := &p.Bans[i]
		left := min(time.Unix(0, h.Until).Sub(now), Longest)
		if left <= 0 || t.bans[h.Client] != nil {
			continue
		}
		t.addLocked(h.By, h.Client, now.Add(left))
		if len(t.bans) > t.most {
			t.removeLocked(t.order.bans[0])
			t.evicted++
		}
	}
}
