package secure

import (
	"sync"
	"time"
)

// queue gives goroutines to handshakes, and is fair to addresses.
//
// A handshake begins at once if its address has fewer running than are free. Alone,
// an address gets half of all, a second one half of the rest, and so on: one that
// never ends its handshakes leaves room to others. What cannot begin waits. When
// something ends, the addresses that wait have their turns, in a ring.
//
// When all places to wait are taken, the last of the address with the most goes.
type queue struct {
	mu       sync.Mutex // guards all below
	most     int        // handshakes with a goroutine
	room     int        // handshakes that wait
	running  int
	waiting  int
	deferred uint64
	shares   map[uint64]*turns
	ring     turns // of those that wait; this one is its end
}

// turns are the handshakes of one share.
type turns struct {
	share       uint64
	running     int
	waiting     int
	first, last *handshake // that wait
	prev, next  *turns     // in the ring, if it waits
}

// place is where a handshake is.
type place uint8

const (
	placeNone place = iota
	placeWaiting
	placeRunning
)

func (q *queue) init(most, room int) {
	q.most, q.room = most, room
	q.shares = map[uint64]*turns{}
	q.ring.prev, q.ring.next = &q.ring, &q.ring
}

func (q *queue) counts() (waiting, running int, deferred uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting, q.running, q.deferred
}

// join takes a handshake in. now: it begins; victim: it has lost its place, or found none.
func (q *queue) join(h *handshake) (now bool, victim *handshake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.shares[h.share]
	if t == nil {
		t = &turns{share: h.share}
		q.shares[h.share] = t
	}
	if t.waiting == 0 && q.mayRun(t) {
		q.run(t, h)
		return true, nil
	}
	q.deferred++
	if q.waiting >= q.room {
		heaviest := q.heaviest()
		if heaviest == nil || t.waiting+1 >= heaviest.waiting {
			q.forget(t)
			return false, h
		}
		victim = heaviest.last
		q.remove(heaviest, victim)
	}
	h.place = placeWaiting
	if h.prev = t.last; h.prev != nil {
		h.prev.next = h
	} else {
		t.first = h
	}
	t.last = h
	t.waiting++
	q.waiting++
	if t.waiting == 1 {
		t.prev, t.next = q.ring.prev, &q.ring
		t.prev.next, q.ring.prev = t, t
	}
	return false, victim
}

func (q *queue) mayRun(t *turns) bool { return t.running < q.most-q.running }

func (q *queue) run(t *turns, h *handshake) {
	h.place = placeRunning
	t.running++
	q.running++
	h.conn.kernel.running.Add(1)
}

// leave takes a handshake out that has run. It returns those that begin.
func (q *queue) leave(h *handshake) (begin []*handshake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.shares[h.share]
	h.place = placeNone
	t.running--
	q.running--
	q.forget(t)
	// Those in the ring that may not run have a running one each, so that the search is short.
	for t := q.ring.next; t != &q.ring; {
		if !q.mayRun(t) {
			t = t.next
			continue
		}
		next := t.first
		q.remove(t, next)
		q.run(t, next)
		q.shares[t.share] = t
		begin = append(begin, next)
		if t.waiting > 0 && t.next != &q.ring { // to the end of the ring
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = q.ring.prev, &q.ring
			t.prev.next, q.ring.prev = t, t
		}
		t = q.ring.next
	}
	return begin
}

// abandon takes a handshake out that waits. It reports whether it did.
func (q *queue) abandon(h *handshake) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h.place != placeWaiting {
		return false
	}
	q.remove(q.shares[h.share], h)
	return true
}

// remove takes a waiting handshake out.
func (q *queue) remove(t *turns, h *handshake) {
	h.place = placeNone
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		t.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		t.last = h.prev
	}
	h.prev, h.next = nil, nil
	q.waiting--
	if t.waiting--; t.waiting == 0 {
		t.prev.next, t.next.prev = t.next, t.prev
		t.prev, t.next = nil, nil
	}
	q.forget(t)
}

func (q *queue) forget(t *turns) {
	if t.running == 0 && t.waiting == 0 {
		delete(q.shares, t.share)
	}
}

// heaviestLooks bounds the search for the heaviest, which a loop does.
const heaviestLooks = 512

func (q *queue) heaviest() (most *turns) {
	t := q.ring.next
	for range heaviestLooks {
		if t == &q.ring {
			break
		}
		if most == nil || t.waiting > most.waiting {
			most = t
		}
		t = t.next
	}
	return most
}

// complain logs that clients are refused, at most once a second.
func (k *kernel) complain() {
	if now := k.below.Now(); now >= k.complained {
		k.complained = now + time.Second
		c := k.layer.config
		c.Log.Warn("TLS handshake refused: too many clients wait for theirs; raise tls-handshakes, or limit accept-rate",
			"running", c.Handshakes, "waiting", c.Waiting)
	}
}
