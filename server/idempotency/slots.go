package idempotency

// findLocked returns the place of a key whose window has not passed.
func (t *Table) findLocked(key Key, now int64) (place uint32, ok bool) {
	place, ok = t.places[key]
	if ok && t.expiredLocked(place, now) {
		t.removeLocked(place)
		return 0, false
	}
	return place, ok
}

// expiredLocked reports whether the window has passed. A pending key stays.
func (t *Table) expiredLocked(place uint32, now int64) bool {
	s := &t.slots[place]
	return s.sequence != 0 && s.at+t.window <= now
}

// expireLocked removes up to n of the oldest keys if their window has passed.
func (t *Table) expireLocked(now int64, n int) {
	for ; n > 0 && t.oldest != none && t.expiredLocked(t.oldest, now); n-- {
		t.removeLocked(t.oldest)
	}
}

// makeRoomLocked removes the oldest keys until there is room for n more. A
// pending one is in the way.
func (t *Table) makeRoomLocked(n int) (ok bool) {
	for len(t.places)+n > t.most {
		if t.oldest == none || t.slots[t.oldest].sequence == 0 {
			return false
		}
		t.removeLocked(t.oldest)
	}
	return true
}

// addLocked adds s, whose key is not there, as the newest.
func (t *Table) addLocked(s slot) {
	place := t.free
	if place != none {
		t.free = t.slots[place].newer
	} else {
		place = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	s.older, s.newer = t.newest, none
	t.slots[place] = s
	if t.newest != none {
		t.slots[t.newest].newer = place
	} else {
		t.oldest = place
	}
	t.newest = place
	t.places[s.key] = place
}

// removeLocked forgets the key at place.
func (t *Table) removeLocked(place uint32) {
	s := t.slots[place]
	if s.older != none {
		t.slots[s.older].newer = s.newer
	} else {
		t.oldest = s.newer
	}
	if s.newer != none {
		t.slots[s.newer].older = s.older
	} else {
		t.newest = s.older
	}
	delete(t.places, s.key)
	t.slots[place] = slot{newer: t.free}
	t.free = place
}
