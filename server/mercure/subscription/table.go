package subscription

import (
	"crypto/rand"
	"sync"
	"time"

	"peal/server/rate"
	"peal/server/share"
)

// Subscription is one topic of a subscriber. Its strings do not change.
type Subscription struct {
	ID, Topic, Subscriber string
	Payload               string // the JSON of the claim, "" for none

	// Guarded by the lock of the table.
	by        share.Key
	place     int // in list, -1 when it has ended
	announced bool
	waits     bool // in queue, or on its way to the log
	doubtful  bool // a batch with its beginning was taken for lost, and may be in a shared log
}

// hasEvents reports whether there are events for it.
func (s *Subscription) hasEvents() bool { return len(s.ID) <= maxTopic }

// Table is the subscriptions of one node. nil has none, and takes none.
type Table struct {
	// Fixed.
	limit, ofShare int
	work           chan struct{}
	random         func(b []byte)
	now            func() time.Duration // of a clock that does not go back
	paces          *rate.Table          // of the events of each address
	peers          *Peers               // the other nodes, nil for a log that is not shared
	owner          string               // of the events: this node, "" for a log that is not shared

	mu       sync.Mutex
	sessions map[uint64][]*Subscription
	byID     map[string]*Subscription // those that are held, if the log is shared
	list     []*Subscription          // active ones
	queue    queue
	inFlight int // batches of events that are not done
	held     share.Ledger[struct{}]
	stats    Stats
}

// Stats counts what a table has done.
type Stats struct {
	Active   int // subscriptions that are listed
	Held     int // and those that have ended, and whose end is to be published yet
	Unlisted uint64
	Events   uint64

	Elsewhere int    // subscriptions of other nodes that are listed, too
	Refused   uint64 // and those for which there was no room
}

// New returns a table for at most limit subscriptions, of which one address may have
// ofShare.
func New(limit, ofShare int) *Table {
	start := time.Now()
	return &Table{limit: limit, ofShare: ofShare, work: make(chan struct{}, 1), sessions: map[uint64][]*Subscription{},
		random: func(b []byte) { _, _ = rand.Read(b) }, // never fails
		now:    func() time.Duration { return time.Since(start) }, paces: rate.New(paces)}
}

// Stats is what the table has done so far.
func (t *Table) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	elsewhere, refused := t.peers.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := t.stats
	stats.Elsewhere, stats.Refused = elsewhere, refused
	return stats
}

// Begin adds the subscriptions of a connection. topics are kept; payload is JSON. It reports
// whether the end of the connection must be said: by End.
func (t *Table) Begin(session uint64, by share.Key, topics []string, payload string) bool {
	if t == nil {
		return false
	}
	subscriber := newSubscriber(t.random)
	made := make([]*Subscription, len(topics))
	for i, topic := range topics {
		made[i] = &Subscription{ID: ID(topic, subscriber), Topic: topic, Subscriber: subscriber, Payload: payload, by: by}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	account := t.held.Open(by)
	room := min(t.limit-t.stats.Held, t.ofShare-account.Held(), len(made))
	room = max(room, 0)
	t.stats.Unlisted += uint64(len(made) - room)
	if room == 0 {
		return false
	}
	made = made[:room]
	t.held.Add(account, room)
	t.stats.Held += room
	for _, s := range made {
		s.place = len(t.list)
		t.addLocked(s)
	}
	t.stats.Active = len(t.list)
	t.sessions[session] = made
	return true
}

func (t *Table) addLocked(s *Subscription) {
	t.list = append(t.list, s)
	if t.byID != nil {
		t.byID[s.ID] = s
	}
	t.wants(s)
}

// End ends the subscriptions of a connection, if it has any.
func (t *Table) End(session uint64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := t.sessions[session]
	if ended == nil {
		return
	}
	delete(t.sessions, session)
	for _, s := range ended {
		last := len(t.list) - 1
		moved := t.list[last]
		t.list[s.place], moved.place = moved, s.place
		t.list[last], t.list = nil, t.list[:last]
		s.place = -1
		t.wants(s)
	}
	t.stats.Active = len(t.list)
}

// wants queues s if it has an event to come, and forgets it if it has ended and none will.
func (t *Table) wants(s *Subscription) {
	switch {
	case s.waits:
	case s.hasEvents() && s.owes():
		s.waits = true
		t.queue.push(s)
		t.wake()
	case s.place < 0:
		t.held.Add(t.held.Open(s.by), -1)
		t.stats.Held--
		delete(t.byID, s.ID)
	}
}

// owes reports whether the last event about s is not what there is.
func (s *Subscription) owes() bool {
	active := s.place >= 0
	return active != s.announced || !active && s.doubtful
}

func (t *Table) wake() {
	select {
	case t.work <- struct{}{}:
	default:
	}
}

// Work signals that there are events to report.
func (t *Table) Work() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.work
}

// active returns the subscriptions that there are on all nodes, in no order.
func (t *Table) active() []*Subscription {
	all := t.peers.all()
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(all, t.list...)
}
