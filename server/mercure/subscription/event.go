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
	return t.report(appendTo, true)
}

func (t *Table) report(appendTo func(batch []*log.Entry, done func(error)) error, paced bool) (more bool) {
	changes := t.take(paced)
	if len(changes) == 0 {
		return t.waiting()
	}
	entries := make([]*log.Entry, len(changes))
	for i, c := range changes {
		entries[i] = &log.Entry{Channel: log.PrivatePrefix + c.of.ID, Private: true, Data: appendSubscription(nil, c.of, c.active, true, "")}
	}
	if err := appendTo(entries, func(err error) { t.done(changes, err) }); err != nil {
		t.done(changes, err)
		return true
	}
	return t.waiting()
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

// done notes what has become of changes.
func (t *Table) done(changes []change, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		if c.of.waits = false; err == nil {
			c.of.announced = c.active
			t.stats.Events++
		} else {
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
