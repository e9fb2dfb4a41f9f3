package idempotency

import (
	"time"

	"peal/server/share"
)

// findLocked returns the place of a key whose window has not ended.
func (t *Table) findLocked(key Key, now int64) (place uint32, ok bool) {
	place, ok = t.places[key]
	if ok && t.expiredLocked(place, now) {
		t.removeLocked(place)
		return 0, false
	}
	return place, ok
}

// expiredLocked reports whether the window has ended. A pending key stays.
func (t *Table) expiredLocked(place uint32, now int64) bool {
	s := &t.slots[place]
	return s.sequence != 0 && s.at+t.window <= now
}

// expireLocked removes up to n of the oldest keys if their window has ended.
func (t *Table) expireLocked(now int64, n int) {
	for ; n > 0 && t.all.oldest != none && t.expiredLocked(t.all.oldest, now); n-- {
		t.removeLocked(t.all.oldest)
	}
}

// makeRoomLocked makes room for n more keys of a share, or returns why there is
// none. A share at its limit is refused before it takes the room of another. When
// the whole table is full, the oldest keys of the largest share are evicted, if that
// share alone can make the room and then still holds at least as many as by.
func (t *Table) makeRoomLocked(by share.Key, n int, now int64) error {
	a := t.shares.Open(by)
	for a.Held()+n > t.shareMost {
		if a.Held() == 0 || !t.expiredLocked(a.Own.oldest, now) {
			return t.fullLocked(a, now)
		}
		t.removeLocked(a.Own.oldest)
	}
	lacking := len(t.places) + n - t.most
	for ; lacking > 0 && t.all.oldest != none && t.expiredLocked(t.all.oldest, now); lacking-- {
		t.removeLocked(t.all.oldest)
	}
	if lacking <= 0 {
		return nil
	}
	if largest := t.shares.Largest(); largest == nil || largest.Held()-lacking < t.shares.Held(by)+n {
		return t.fullLocked(t.shares.Open(by), now)
	}
	for ; lacking > 0; lacking-- {
		oldest := t.shares.Largest().Own.oldest
		if t.slots[oldest].sequence == 0 {
			return ErrBusy
		}
		t.removeLocked(oldest)
		t.evicted++
	}
	return nil
}

// fullLocked is the error for a full share, with the time after which to try again.
func (t *Table) fullLocked(a *share.Account[ends], now int64) error {
	after := t.window
	if a.Held() > 0 {
		after = max(0, t.slots[a.Own.oldest].at+t.window-now)
	}
	return &FullError{time.Duration(after) * time.Millisecond}
}

// addLocked adds s, whose key must not be in the table, as the newest.
func (t *Table) addLocked(s slot) {
	place := t.free
	if place != none {
		t.free = t.slots[place].all.newer
	} else {
		place = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	a := t.shares.Open(s.share)
	if a.Held() == 0 {
		a.Own = ends{none, none}
	}
	s.all, s.own = links{t.all.newest, none}, links{a.Own.newest, none}
	t.slots[place] = s
	if t.all.newest != none {
		t.slots[t.all.newest].all.newer = place
	} else {
		t.all.oldest = place
	}
	if a.Own.newest != none {
		t.slots[a.Own.newest].own.newer = place
	} else {
		a.Own.oldest = place
	}
	t.all.newest, a.Own.newest = place, place
	t.places[s.key] = place
	t.shares.Add(a, 1)
}

// removeLocked removes the key at place.
func (t *Table) removeLocked(place uint32) {
	s := t.slots[place]
	a := t.shares.Open(s.share)
	if s.all.older != none {
		t.slots[s.all.older].all.newer = s.all.newer
	} else {
		t.all.oldest = s.all.newer
	}
	if s.all.newer != none {
		t.slots[s.all.newer].all.older = s.all.older
	} else {
		t.all.newest = s.all.older
	}
	if s.own.older != none {
		t.slots[s.own.older].own.newer = s.own.newer
	} else {
		a.Own.oldest = s.own.newer
	}
	if s.own.newer != none {
		t.slots[s.own.newer].own.older = s.own.older
	} else {
		a.Own.newest = s.own.older
	}
	t.shares.Add(a, -1)
	delete(t.places, s.key)
	t.slots[place] = slot{all: links{newer: t.free}}
	t.free = place
}
