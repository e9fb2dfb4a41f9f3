package subscription

import (
	"time"

	"peal/server/rate"
	"peal/server/share"
)

// Pace is how many events of the subscriptions of one address are reported. Further ones wait,
// and a subscription that ends meanwhile, unannounced, has none.
var Pace = rate.Limit{Count: 100, Per: time.Second, Burst: 1000}

const (
	// turn is how many subscriptions of one address are looked at before those of the next.
	turn = 16

	// paces is how many addresses have a bucket that is not full: 64 KiB.
	paces = 4096
)

// queue has the subscriptions that have an event to come: a line for each address, in the
// order in which they came, and the lines in turns.
type queue struct {
	lines map[share.Key]*line
	order []*line // that are not empty, the next one first
}

type line struct {
	by    share.Key
	waits []*Subscription
}

func (q *queue) push(s *Subscription) {
	l := q.lines[s.by]
	if l == nil {
		l = &line{by: s.by}
		if q.lines == nil {
			q.lines = map[share.Key]*line{}
		}
		q.lines[s.by] = l
		q.order = append(q.order, l)
	}
	l.waits = append(l.waits, s)
}

// next ends the turn of the first line, which has lost its first n.
func (q *queue) next(n int) {
	l := q.order[0]
	q.order[0], q.order = nil, q.order[1:]
	clear(l.waits[:n])
	if l.waits = l.waits[n:]; len(l.waits) > 0 {
		q.order = append(q.order, l)
		return
	}
	if delete(q.lines, l.by); len(q.order) == 0 {
		q.order = nil
	}
}

// take takes the next changes from the queue, at most as many of each address as Pace has, or
// without regard to it.
func (t *Table) take(paced bool) (changes []change) {
	if t == nil {
		return nil
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for idle := 0; idle < len(t.queue.order) && len(changes) < most; {
		l, n := t.queue.order[0], 0
		for ; n < min(turn, len(l.waits)) && len(changes) < most; n++ {
			s := l.waits[n]
			if !s.owes() {
				s.waits = false // it has ended before anybody knew of it
				t.wants(s)
				continue
			}
			if paced {
				if ok, _ := t.paces.Take(t.pace(s.by), Pace, 1, now); !ok {
					break
				}
			}
			changes = append(changes, change{s, s.place >= 0})
		}
		t.queue.next(n)
		if idle++; n > 0 {
			idle = 0
		}
	}
	return changes
}

// pace is the bucket of an address.
func (t *Table) pace(by share.Key) rate.Key { return t.paces.Number(rate.Connection, uint64(by)) }
