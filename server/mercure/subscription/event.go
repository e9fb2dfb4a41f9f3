package subscription

import (
	"time"

	"peal/server/log"
	"peal/server/publication"
)

// ReportEvery is how long events are collected before they are reported.
const ReportEvery = 100 * time.Millisecond

// most is how many events one call of Report appends.
const most = 256

// change is one event on its way to the log.
type change struct {
	of     *Subscription
	active bool
}

// Report appends the next events to the log, and reports whether it is to be called again
// after ReportEvery. Events that the log refuses, and those of an address beyond its Pace, are
// reported later.
func (t *Table) Report(appendTo func(batch []*log.Entry, done func(error)) error) (more bool) {
	if t == nil {
		return false
	}
	peers, waits := t.peers.report(appendTo)
	if waits {
		return true
	}
	return t.report(appendTo, true) || peers
}

func (t *Table) report(appendTo func(batch []*log.Entry, done func(error)) error, paced bool) (more bool) {
	changes := t.take(paced)
	if len(changes) == 0 {
		return t.waiting()
	}
	entries := make([]*log.Entry, len(changes))
	for i, c := range changes {
		entries[i] = c.of.event(c.active, t.owner)
	}
	t.mu.Lock()
	t.inFlight++
	t.mu.Unlock()
	if err := appendTo(entries, func(err error) { t.done(changes, err, true) }); err != nil {
		t.done(changes, err, false)
		return true
	}
	return t.waiting()
}

// event is the update about a subscription. owner is the value of log.NodeTag, "" for none.
func (s *Subscription) event(active bool, owner string) *log.Entry {
	e := &log.Entry{Channel: log.PrivatePrefix + s.ID, Private: true, Data: appendSubscription(nil, s, active, true, "")}
	if owner != "" {
		e.Tags = map[string]string{log.NodeTag: owner}
	}
	return e
}

// waiting reports whether there are events to report.
func (t *Table) waiting() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue.order) > 0
}

// Finish appends what is to be reported, as far as the log takes it and at any pace: no more
// will come.
func (t *Table) Finish(appendTo func(batch []*log.Entry, done func(error)) error) {
	if t == nil {
		return
	}
	refused := false
	once := func(batch []*log.Entry, done func(error)) error {
		err := appendTo(batch, done)
		refused = err != nil
		return err
	}
	for t.report(once, false) && !refused {
	}
}

// done notes what has become of changes, which the log has accepted or not.
func (t *Table) done(changes []change, err error, accepted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight--
	for _, c := range changes {
		if c.of.waits = false; err == nil {
			if t.peers == nil {
				c.of.announced = c.active
			} // else the log has said so: see told
			t.stats.Events++
		} else {
			c.of.doubtful = c.of.doubtful || t.peers != nil && accepted && c.active
			t.paces.Return(t.pace(c.of.by), Pace, 1)
		}
		t.wants(c.of)
	}
}

// appendSubscription appends the object of s. One that is a document of its own has a context; last
// is the id of the last event that it takes into account, "" for none.
func appendSubscription(dst []byte, s *Subscription, active, alone bool, last string) []byte {
	dst = append(dst, '{')
	if alone {
		dst = append(dst, context...)
	}
	dst = append(dst, `"id":`...)
	dst = publication.AppendString(dst, s.ID)
	dst = append(dst, `,"type":"Subscription","topic":`...)
	dst = publication.AppendString(dst, s.Topic)
	dst = append(dst, `,"subscriber":`...)
	dst = publication.AppendString(dst, s.Subscriber)
	if active {
		dst = append(dst, `,"active":true`...)
	} else {
		dst = append(dst, `,"active":false`...)
	}
	if s.Payload != "" {
		dst = append(dst, `,"payload":`...)
		dst = append(dst, s.Payload...)
	}
	if last != "" {
		dst = append(dst, `,"lastEventID":`...)
		dst = publication.AppendString(dst, last)
	}
	return append(dst, '}')
}

// context says what the members of an object mean (JSON-LD).
const context = `"@context":"https://mercure.rocks/",`
