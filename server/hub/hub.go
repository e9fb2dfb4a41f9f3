package hub

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/rules"
)

// Ring receives every message after its history, in order. loop/ring implements it.
type Ring interface {
	// Room reports whether the ring has room for that many messages and bytes now.
	Room(messages, bytes int) bool

	// OnRoom has f called when there may be room again after Room has said no. f runs on
	// any goroutine and must not block.
	OnRoom(f func())

	// Lose tells the readers that a part of the log is lost: see loop/ring.
	Lose(upto uint64)

	// Publish appends m, for which there is room. It must not block.
	Publish(m *ring.Message)
}

// Hub has the channels of one log: it is its log.Tail, and the source of history
// for the loops (fanout.Source).
type Hub struct {
	// Fixed.
	config     Config
	rules      *rules.Table
	classes    []uint16 // by rule: the list its histories are in, one for each age
	ring       Ring
	wake       func()
	now        func() time.Time
	began      time.Time
	hash       func(name string) uint64 // keyed: clients cannot choose names that collide
	hashName   string                   // of hash, "" for one that was given
	key        key                      // of hash
	shards     []shard
	shardMask  uint64
	shardBits  int
	bucketMask uint64
	records    int                      // most records of forgotten channels in each shard
	session    func(id [16]byte) uint64 // see UseSessions
	onLose     func(from, upto uint64)  // see OnLose; nil for none

	// Shared. head is stored after the entry is in its histories and before it
	// is in the ring, so no client has a cursor ahead of it.
	head     atomic.Uint64
	bytes    atomic.Int64 // of all histories; data that messages share counts once
	messages atomic.Int64
	evicted  atomic.Uint64 // dropped for the total, not for their channel's limits
	folded   atomic.Uint64 // records of forgotten channels that went into watermarks

	meter *meter // nil: nobody asks for the busiest channels; guarded by order

	// order guards the lists of histories by publishing, and every change from
	// no history to some and back. See order.go.
	order     sync.Mutex
	lists     []list
	journal   journal
	turn      int     // index of the next list to sweep
	published uint64  // counts what was appended to any history
	taking    *taking // a hand-over from another process, nil for none
}

// New returns a hub without channels for a log that begins at its first entry;
// see Begin and Succeed for one that does not.
// config must be valid; r gets a message for every entry; wake is called by
// Wake; now is the clock, time.Now outside tests. It starts no goroutine: the
// caller calls Sweep about once a second.
func New(config Config, r Ring, wake func(), now func() time.Time) *Hub {
	k := randomKey()
	h := newHub(config, r, wake, now, k.hash, bucketCount)
	h.hashName, h.key = hashName, k
	return h
}

// newHub is New with another hash and a table of that many watermarks, a power
// of two.
func newHub(config Config, r Ring, wake func(), now func() time.Time, hash func(string) uint64, buckets int) *Hub {
	shards := min(shardCount, buckets)
	h := &Hub{
		config:     config.WithDefaults(),
		ring:       r,
		wake:       wake,
		now:        now,
		began:      now(),
		hash:       hash,
		shards:     make([]shard, shards),
		shardMask:  uint64(shards - 1),
		shardBits:  bits.Len(uint(shards - 1)),
		bucketMask: uint64(buckets - 1),
	}
	h.records = recordsOf(h.config.ForgottenBytes, shards)
	h.rules = h.config.table()
	h.classes, h.lists = classes(h.rules)
	hashOf := h.hashOf // one for all shards
	for i := range h.shards {
		h.shards[i].watermarks = make([]uint64, buckets/shards)
		h.shards[i].channels.HashOf = hashOf
	}
	return h
}

// UseSessions has messages leave out sessions of this process by their numbers, too: number
// returns the one that an id stands for, 0 for none. Without it, they leave out only those
// that have adopted an id. Before Restore and Apply, whose callers call it.
func (h *Hub) UseSessions(number func(id [16]byte) uint64) { h.session = number }

// Room reports whether the ring can take that many entries and bytes; see log.Tail.
func (h *Hub) Room(entries, bytes int) bool { return h.ring.Room(entries, bytes) }

// OnRoom has f called when there may be room again; see log.Waiting.
func (h *Hub) OnRoom(f func()) { h.ring.OnRoom(f) }

// Wake wakes the readers of the ring; see log.Tail.
func (h *Hub) Wake() { h.wake() }

// Head is the newest sequence of the log that any subscriber can have received. The
// log's own head may be a later entry, of another kind.
func (h *Hub) Head() uint64 { return h.head.Load() }

// Encodings is how many bytes of encodings may be cached with messages now: a
// quarter of what the histories hold, so that both together stay near
// Config.TotalBytes whatever the payload. Any goroutine may call it.
func (h *Hub) Encodings() int { return int(h.bytes.Load()) / 4 }

// Clock is the clock of ring.Message.Accepted: nanoseconds since the hub began,
// by the monotonic clock. Any goroutine may call it.
func (h *Hub) Clock() int64 { return h.since(h.now()) }

func (h *Hub) since(now time.Time) int64 { return int64(now.Sub(h.began)) }

// isForSubscribers reports whether entries of that kind are delivered.
func isForSubscribers(k log.Kind) bool { return k == log.KindPublication || k == log.KindPresence }

// Apply takes the next entries of the log; see log.Tail. Calls must not
// overlap. It appends each publication to the history of its channels, then to the
// ring. Presence is in no history: a subscriber that was away gets a gap on the
// presence channel. Other entries are for other tails: the hub skips them, and their
// sequences are holes for it.
//
// It allocates one message per entry. Beyond the entry itself, its work is to drop
// the messages that the entry displaces from each of its channels and from the
// total: at most Size/log.EntryOverhead + 1 messages each, and expired ones. A
// message is dropped once, so on average that is one per channel.
func (h *Hub) Apply(batch []*log.Entry) {
	clock := h.now()
	now, accepted := clock.UnixMilli(), h.since(clock)
	h.order.Lock()
	defer h.order.Unlock()
	if h.meter != nil {
		h.measure(batch, now)
	}
	for _, e := range batch {
		if !isForSubscribers(e.Kind) {
			continue
		}
		m := h.newMessage(e)
		m.Accepted = accepted
		switch e.Kind {
		case log.KindPublication:
			h.retain(m, e, now)
		case log.KindPresence:
			h.discard(m)
		}
		h.head.Store(m.Sequence)
		h.ring.Publish(m)
	}
}
