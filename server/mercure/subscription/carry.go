package subscription

import "peal/server/share"

// Carried is one subscription of a connection, as plain data for another process.
type Carried struct {
	ID, Topic, Subscriber, Payload string
	Announced                      bool
}

// Carry returns the subscriptions of a connection.
func (t *Table) Carry(session uint64) (all []Carried) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sessions[session] {
		all = append(all, Carried{s.ID, s.Topic, s.Subscriber, s.Payload, s.announced})
	}
	return all
}

// Mark is what Carry returns for most sessions, to be compared with ==. ok is false if there is more.
type Mark struct {
	only      *Subscription
	announced bool
}

// Mark returns it.
func (t *Table) Mark(session uint64) (m Mark, ok bool) {
	if t == nil {
		return m, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch all := t.sessions[session]; len(all) {
	case 0:
		return m, true
	case 1:
		return Mark{all[0], all[0].announced}, true
	}
	return m, false
}

// Restore adds subscriptions that a connection had in another process: those that were
// announced there are not announced again. What there is no room for is not listed, as in Begin.
func (t *Table) Restore(session uint64, by share.Key, carried []Carried) {
	if t == nil || len(carried) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	account := t.held.Open(by)
	room := max(min(t.limit-t.stats.Held, t.ofShare-account.Held(), len(carried)), 0)
	t.stats.Unlisted += uint64(len(carried) - room)
	t.held.Add(account, room)
	t.stats.Held += room
	for _, c := range carried[:room] {
		s := &Subscription{ID: c.ID, Topic: c.Topic, Subscriber: c.Subscriber, Payload: c.Payload, by: by, place: len(t.list), announced: c.Announced}
		t.sessions[session] = append(t.sessions[session], s)
		t.addLocked(s)
	}
	t.stats.Active = len(t.list)
}
