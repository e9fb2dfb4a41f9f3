package idempotency

// Knows reports whether a key is remembered, and changes nothing.
func (t *Table) Knows(key Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	place, ok := t.places[key]
	return ok && !t.expiredLocked(place, t.now().UnixMilli())
}
