package idempotency

import (
	"errors"
	"sync"
	"time"

	"peal/server/log"
	"peal/server/share"
)

// MaxWaiters is how many attempts, of all keys together, may wait for the first one
// of their key.
const MaxWaiters = 4096

// Errors of Claim. Nothing was claimed.
var (
	// ErrConflict means that a key was used for another message.
	ErrConflict = errors.New("idempotency: the key was used for another message")

	// ErrBusy means that too many attempts wait, or that the table is full of
	// pending keys. Try again later.
	ErrBusy = errors.New("idempotency: too many attempts are in progress")
)

// FullError is an error of Claim, too: the share of the publisher, or the whole
// table, has no room for the keys. After is the time until the oldest key of the
// share expires, at most the window.
type FullError struct{ After time.Duration }

func (e *FullError) Error() string {
	return "idempotency: no room for more keys of this share for " + e.After.String()
}

// Claim is the result of an attempt for one of its keys.
type Claim struct {
	State    State
	Sequence uint64 // of the message, with Replayed
}

// State is which attempt publishes the message.
type State uint8

const (
	First    State = iota // this attempt: publish, then Settle or Release
	Replayed              // an earlier attempt has published it, within the window
	Pending               // another attempt is publishing it: the waiter will be called
)

// Waiter is called once with the result of the attempt for which the i-th key
// waits: its sequence, or the error passed to Release. It runs on the goroutine
// that settles, without a lock, and must not block.
type Waiter func(i int, sequence uint64, err error)

// Table has the keys that are remembered.
type Table struct {
	// Fixed.
	window    int64 // milliseconds
	most      int
	shareMost int
	now       func() time.Time

	mu      sync.Mutex
	places  map[Key]uint32
	slots   []slot // of keys, and free ones; no pointers, for the collector
	free    uint32 // first of the free slots, linked by all.newer
	all     ends   // of all keys, in the order of claims
	shares  share.Ledger[ends]
	evicted uint64
	waiters int
	waiting map[uint32][]waiter // by slot
}

// ends are those of a list of keys.
type ends struct{ oldest, newest uint32 }

// slot is one key.
type slot struct {
	key      Key
	body     Digest
	sequence uint64 // 0 while it is pending
	at       int64  // when it was claimed, in milliseconds since 1970
	share    share.Key
	all, own links // in the order of claims, of all keys and of the share's
}

// links are the neighbours in a list.
type links struct{ older, newer uint32 }

type waiter struct {
	call Waiter
	i    int
}

const none = ^uint32(0)

// New returns an empty table that remembers at most most keys for window, at most
// shareMost of them of one share. A message has a key for each of its channels:
// both must be at least that number. now is the clock, time.Now outside tests.
func New(window time.Duration, most, shareMost int, now func() time.Time) *Table {
	return &Table{
		window: window.Milliseconds(), most: most, shareMost: shareMost, now: now,
		places: make(map[Key]uint32), waiting: make(map[uint32][]waiter),
		free: none, all: ends{none, none},
	}
}

// Claim is one attempt of a share to publish a message with that body under keys,
// one for each of its channels and no two of them equal. It fills in claims[i] for
// keys[i], or returns an error and has claimed nothing.
//
// wait is called for each Pending key, possibly before Claim returns. Each First
// key must be settled or released; otherwise it is never free again.
func (t *Table) Claim(by share.Key, keys []Key, body Digest, claims []Claim, wait Waiter) error {
	now := t.now().UnixMilli()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(now, 2*len(keys)) // faster than keys are added
	fresh, pending := 0, 0
	for i, key := range keys {
		place, ok := t.findLocked(key, now)
		switch {
		case !ok:
			claims[i] = Claim{State: First}
			fresh++
		case t.slots[place].body != body:
			return ErrConflict
		case t.slots[place].sequence == 0:
			claims[i] = Claim{State: Pending}
			pending++
		default:
			claims[i] = Claim{Replayed, t.slots[place].sequence}
		}
	}
	if t.waiters+pending > MaxWaiters {
		return ErrBusy
	}
	if fresh > 0 {
		if err := t.makeRoomLocked(by, fresh, now); err != nil {
			return err
		}
	}
	for i, key := range keys {
		switch claims[i].State {
		case First:
			t.addLocked(slot{key: key, body: body, at: now, share: by})
		case Pending:
			place := t.places[key]
			t.waiting[place] = append(t.waiting[place], waiter{wait, i})
			t.waiters++
		}
	}
	return nil
}

// Settle records that the message of a First key is in the log.
func (t *Table) Settle(key Key, sequence uint64) { t.end(key, sequence, nil) }

// Release records that the message of a First key is not in the log. The key is
// free again, and its waiters are called with err.
func (t *Table) Release(key Key, err error) { t.end(key, 0, err) }

func (t *Table) end(key Key, sequence uint64, err error) {
	t.mu.Lock()
	place, ok := t.places[key]
	if !ok || t.slots[place].sequence != 0 {
		t.mu.Unlock()
		panic("idempotency: Settle or Release of a key that is not claimed")
	}
	waiting := t.waiting[place]
	delete(t.waiting, place)
	t.waiters -= len(waiting)
	if err == nil {
		t.slots[place].sequence = sequence
	} else {
		t.removeLocked(place)
	}
	t.mu.Unlock()
	for _, w := range waiting {
		w.call(w.i, sequence, err)
	}
}

// Restore adds the keys of an entry of an existing log, if it has one and the
// window has not ended. Call it for all entries of a log in their order, before the
// first Claim; afterwards see Learn.
func (t *Table) Restore(e *log.Entry) {
	now := t.now().UnixMilli()
	if e.Kind != log.KindPublication || e.IdempotencyKey == "" || e.Time+t.window <= now {
		return
	}
	body := DigestOf(e.Event, e.Binary, e.Data)
	t.restore(e, e.Channel, body, now)
	for _, channel := range e.Also {
		t.restore(e, channel, body, now)
	}
}

// Learn is Restore for an entry that another server has added to the log they share, while
// the table is in use. A key that is pending here is left to its attempt, which the log answers
// as it has decided. It reads the data only for a key that is new.
func (t *Table) Learn(e *log.Entry) {
	now := t.now().UnixMilli()
	if e.Kind != log.KindPublication || e.IdempotencyKey == "" || e.Time+t.window <= now || t.knows(e) {
		return
	}
	t.Restore(e)
}

// knows reports whether the key of the first channel of e is pending, or is that of e.
func (t *Table) knows(e *log.Entry) bool {
	key := KeyOf(e.Channel, e.Publisher, e.IdempotencyKey)
	t.mu.Lock()
	defer t.mu.Unlock()
	place, ok := t.places[key]
	return ok && (t.slots[place].sequence == 0 || t.slots[place].sequence == e.Sequence)
}

func (t *Table) restore(e *log.Entry, channel string, body Digest, now int64) {
	key := KeyOf(channel, e.Publisher, e.IdempotencyKey)
	t.mu.Lock()
	defer t.mu.Unlock()
	if place, ok := t.places[key]; ok {
		if t.slots[place].sequence == 0 {
			return // it is being published now
		}
		t.removeLocked(place)
	}
	for len(t.places) >= t.most {
		if t.all.oldest == none || t.slots[t.all.oldest].sequence == 0 {
			return
		}
		t.removeLocked(t.all.oldest) // more than the table has room for: keep the newest
		t.evicted++
	}
	// If the clock was set back, a key still expires one window from now at the latest.
	t.addLocked(slot{key: key, body: body, sequence: e.Sequence, at: min(e.Time, now), share: share.Restored})
}

// Evicted is how many keys were evicted before their window had ended.
func (t *Table) Evicted() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.evicted
}

// Len is the number of keys remembered, including those whose window has ended but
// that were not removed yet.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.places)
}
