package distributed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// Defaults of Config.
const (
	DefaultWait       = 2 * time.Second
	DefaultQueueBytes = 16 << 20
	DefaultEntries    = 1_000_000
)

// Config has the settings of a Log. Zero values stand for the defaults.
type Config struct {
	Wait       time.Duration // that a batch waits for a store that cannot be reached; then it has ErrUnavailable
	QueueBytes int           // log.Charge of the batches that wait for a call
	Entries    int           // about so many are retained, of all channels together
	Window     time.Duration // in which an idempotency key is known to all nodes
	Log        *slog.Logger
}

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	c.Wait = orDefault(c.Wait, DefaultWait)
	c.QueueBytes = orDefault(c.QueueBytes, DefaultQueueBytes)
	c.Entries = orDefault(c.Entries, DefaultEntries)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	var all []error
	if c.Wait < 0 || c.Wait > time.Minute {
		all = append(all, fmt.Errorf("log-wait %v: must be from 1ms to 1m", c.Wait))
	}
	if c.QueueBytes < 0 {
		all = append(all, fmt.Errorf("log-queue-bytes %d: must not be negative", c.QueueBytes))
	}
	if c.Entries < 0 {
		all = append(all, fmt.Errorf("log-entries %d: must not be negative", c.Entries))
	}
	return errors.Join(all...)
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// Log is one node. It implements log.Distributed and log.Reader.
type Log struct {
	// Fixed at Open.
	store   Store
	config  Config
	now     func() time.Time
	random  func() uint64
	node    uint64
	lineage *log.Lineage
	opened  Meta

	// Fixed at Start.
	tail  log.Tail
	state log.State // nil for none

	// Shared.
	head    atomic.Uint64 // of what was applied; stored before it is
	known   atomic.Uint64
	oldest  atomic.Uint64 // that the store had when it was last looked at
	origin  atomic.Uint64 // Meta.Origin
	current atomic.Pointer[time.Time]
	counts  counts
	open    atomic.Int64                 // batches that have no end yet
	suspect atomic.Bool                  // the store may not be what it was: recover
	failing atomic.Pointer[failure]      // nil: all is well
	hurry   chan struct{}                // one signal: there is something to flush
	room    chan struct{}                // one signal: a tail may have room again
	adopted chan struct{}                // one signal: an epoch was looked for, and a call may be accepted now
	stop    func()                       // of Run, nil without one
	stopped chan struct{}                // closed when Run has ended
	timing  atomic.Pointer[func(Timing)] // where durations go

	// Held while a call is under way, and while recover compares what was seen with what is
	// left: an answer of the store before must not come in between. One place, and no
	// mutex, because a simulated clock goes on while somebody waits for it.
	calling chan struct{}

	mu       sync.Mutex // of the queue
	queue    []*pending
	queued   int // bytes of those that are no control entries
	controls int // bytes of those that are
	closed   bool
	allowed  int  // batches of the queue that may be taken, during a pause; negative: all
	succeeds bool // a successor that has not begun

	seenMu sync.Mutex
	seen   uint64 // the newest entry that was read, or given to a batch of this node
	checks checks

	doneMu   sync.Mutex
	answered []*pending // in the order of their calls; their done is to be called

	// Of the caller of Flush.
	call   *call
	number uint64

	// Of the caller of Follow, with applyMu.
	applyMu  sync.Mutex // the append lock
	position Link       // of what was read; Check is 0 if it is not known
	began    uint64     // the epoch, behind this sequence
	doubted  bool       // the next entry was not linked, though the store was looked at a moment before
	verified bool       // the next entry may be behind a hole
	named    [3]uint64  // entries from the first up to the second, and the third, are of epochs that the lineage knows
	backlog  []*log.Entry
	decoder  decoder
	most     int      // entries of the next read
	losses   []uint64 // the sequences of the newest EventLost that have told the tail of a loss; what is before the last is covered
	still    bool     // nothing is applied, because the log is paused
	looked   time.Time
	trimmed  time.Time // when oldest was stored
	asked    time.Time // when the store was last looked at, perhaps for strangers

	checkpointWarned, readWarned time.Time // of warn

	strangers strangers
}

type counts struct{ epochs, lost, skipped atomic.Uint64 }

// failure is why nothing can be appended, since when, and when it was last so.
type failure struct {
	since, last time.Time
	err         error
}

// Open makes ready the store's log for a node that has seen nothing of it, which begins an epoch
// if nobody has since the store was started. now is the clock, time.Now outside tests, and random
// the source of checks and names. It starts no goroutine; after an error s is still the caller's.
func Open(ctx context.Context, s Store, c Config, now func() time.Time, random func() uint64) (*Log, error) {
	l := newLog(s, c, now, random)
	l.node = l.check()
	m, ready, err := s.Look(ctx, true)
	if err == nil && !ready {
		b := l.begin(&m)
		b.First = m.Format == 0
		if _, err = s.Begin(ctx, b); err == nil {
			m, ready, err = s.Look(ctx, true) // nodes may have appended and removed entries since it was looked at first
		}
		if err == nil && !ready {
			err = ErrMoved
		}
	}
	if err != nil {
		return nil, err
	}
	l.begins(&m)
	head := l.headOf(&m)
	l.opened = m
	l.opened.Head = head
	l.head.Store(head)
	l.known.Store(head)
	l.noteOldest(&l.opened, now())
	l.seen, l.position = m.Head, Link{head, m.Check}
	l.setCurrent(now())
	return l, nil
}

func newLog(s Store, c Config, now func() time.Time, random func() uint64) *Log {
	if random == nil {
		random = rand.Uint64
	}
	return &Log{
		store: s, config: c.WithDefaults(), now: now, random: random, lineage: &log.Lineage{},
		hurry: make(chan struct{}, 1), room: make(chan struct{}, 1), adopted: make(chan struct{}, 1), calling: make(chan struct{}, 1), stopped: make(chan struct{}),
		most: leastRead, allowed: -1,
	}
}

// headOf is the newest entry that was shown of a store that has m.
func (l *Log) headOf(m *Meta) (head uint64) {
	head = m.Head
	if head == m.Began { // nothing has that name: what was shown ends with the epoch before
		head = m.Newest.Sequence
		if n := len(m.Predecessors); n > 0 {
			head = max(head, m.Predecessors[n-1].Last)
		}
		if head <= m.Origin {
			head = 0
		}
	}
	return head
}

// begins notes the epoch of the store.
func (l *Log) begins(m *Meta) {
	l.lineage.Begin(m.Epoch, m.Began, m.Predecessors...)
	l.origin.Store(m.Origin)
	l.began = m.Began
}

// check is a random number that is not 0.
func (l *Log) check() uint64 {
	for {
		if n := l.random(); n != 0 {
			return n
		}
	}
}

// begin is how a node begins an epoch in a store that has m and lacks nothing that the node has seen.
func (l *Log) begin(m *Meta) Begin {
	return Begin{Known: m.Epoch, Common: math.MaxUint64, Jump: Jump + l.random()%Jump, Next: log.Epoch(l.check()), Check: l.check()}
}

// Node implements log.Distributed.
func (l *Log) Node() uint64 { return l.node }

// Lineage names the sequences of the log.
func (l *Log) Lineage() *log.Lineage { return l.lineage }

// Head is the newest sequence that this node has applied.
func (l *Log) Head() uint64 { return l.head.Load() }

// Oldest is the oldest entry that Start restores, and later the oldest that the store had some
// seconds ago; Head+1 if there is none, and 1 if nothing was ever removed.
func (l *Log) Oldest() uint64 { return l.oldest.Load() }

// noteOldest notes what the store had then.
func (l *Log) noteOldest(m *Meta, then time.Time) {
	oldest := m.named(m.Oldest-1) + 1
	if m.Origin > 0 && m.Oldest == m.Origin+1 {
		oldest = 1
	}
	l.oldest.Store(min(oldest, l.head.Load()+1))
	l.trimmed = then
}

// Retained implements log.Counted.
func (l *Log) Retained() uint64 { return l.opened.Entries }

// Resolve tells what c means on this node; see log.Log and Ahead.
func (l *Log) Resolve(c log.Cursor) (sequence uint64, ok bool) {
	return l.lineage.Resolve(c, l.head.Load())
}

// Ahead implements log.Distributed: the position is of this epoch, or may be of one that
// this node has not heard of.
func (l *Log) Ahead(c log.Cursor) bool {
	if c.Epoch == l.lineage.Epoch() {
		return c.Sequence > l.head.Load()
	}
	for _, p := range l.lineage.Predecessors() {
		if p.Epoch == c.Epoch {
			return false
		}
	}
	return l.unheardOf(c.Epoch)
}

// Progress implements log.Distributed.
func (l *Log) Progress() log.Progress {
	head := l.head.Load()
	return log.Progress{
		Head: head, Known: max(head, l.known.Load()), Current: *l.current.Load(), Reconnects: l.store.Reconnects(),
		Epochs: l.counts.epochs.Load(), Lost: l.counts.lost.Load(), Skipped: l.counts.skipped.Load(),
	}
}

func (l *Log) setCurrent(t time.Time) { l.current.Store(&t) }

// Failing is why nothing can be appended, nil when all is well or was a moment ago.
func (l *Log) Failing() error {
	f := l.failing.Load()
	if f == nil {
		return nil
	}
	if errors.Is(f.err, log.ErrUnavailable) && l.now().Sub(f.since) < l.config.Wait {
		return nil
	}
	return f.err
}

// Keep has the store keep s; see log.Engine.
func (l *Log) Keep(s log.State) { l.state = s }

// Start reads what the store has retained; see log.Engine. The node follows the log
// when Run runs, or with its steps.
func (l *Log) Start(tail log.Tail, restore func(batch []*log.Entry)) error {
	l.useTail(tail)
	m := &l.opened
	if l.state != nil {
		if err := l.state.Load(m.State, m.Saved); err != nil {
			return fmt.Errorf("the control state in the store: %w", err)
		}
	}
	if err := l.restore(restore); err != nil {
		return err
	}
	if l.state != nil && m.Began != m.Origin && m.Saved == 0 {
		l.state.Lost("the store of the log has no checkpoint: it was emptied, or replaced by one that has less")
	}
	m.State = nil
	return nil
}

func (l *Log) useTail(tail log.Tail) {
	l.tail = tail
	if waiting, ok := tail.(interface{ OnRoom(func()) }); ok {
		waiting.OnRoom(func() { signal(l.room) })
	}
}

// restore hands everything from Oldest to Head to f. What is removed meanwhile
// is lost to the tail, which takes Oldest for the beginning.
func (l *Log) restore(f func(batch []*log.Entry)) error {
	at, began, said := l.opened.Oldest-1, l.now(), l.now()
	last, read := Link{Sequence: at}, at // its check is not known
	for at < l.opened.Newest.Sequence {
		records, err := l.store.Read(context.Background(), at, l.most, 0)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break // it was trimmed, or lost, meanwhile
		}
		l.sizeReads(records)
		var batch []*log.Entry
		for i := range records {
			r := &records[i]
			if r.Sequence > l.opened.Head {
				break
			}
			read = r.Sequence
			if r.Check != 0 { // else somebody else's
				if hole := last.Check == 0 && r.Sequence > last.Sequence+1 || last.Check != 0 && r.Before != last.Check; hole {
					f(batch)
					batch = nil
					if err := l.reload(context.Background()); err != nil {
						return err
					}
					l.missed(last.Sequence, r.Sequence-1)
				}
				last = r.Link
				l.note(r.Link)
			}
			e := l.read(r)
			if e == nil {
				continue
			}
			if from, _, ok := l.newLoss(e); ok {
				f(batch)
				batch = nil
				l.lose(from, e.Sequence) // see apply
			}
			batch = append(batch, e)
		}
		f(batch)
		at = records[len(records)-1].Sequence
		if now := l.now(); now.Sub(said) > 2*time.Second {
			said = now
			l.config.Log.Info("reading the log", "sequence", at, "of", l.opened.Newest.Sequence, "took", now.Sub(began))
		}
	}
	if read < l.opened.Newest.Sequence { // the newest of them were removed meanwhile, and what follows is linked to them
		if err := l.reload(context.Background()); err != nil {
			return err
		}
		l.missed(last.Sequence, l.opened.Head)
	}
	return nil
}

// lose tells the tail that entries are lost; the append lock is held, or nobody appends yet.
func (l *Log) lose(from, upto uint64) {
	if loser, ok := l.tail.(interface{ Lose(from, upto uint64) }); ok {
		loser.Lose(from, upto)
	}
}

// note remembers an entry that was seen.
func (l *Log) note(links ...Link) {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	for _, k := range links {
		if k.Sequence > l.seen || len(l.checks.links) == 0 {
			l.checks.add(k)
		} else {
			l.checks.insert(k)
		}
		l.seen = max(l.seen, k.Sequence)
	}
}

// sawUpto is the newest entry that was seen.
func (l *Log) sawUpto() uint64 {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	return l.seen
}

// EventLost is the event of the control entry that says that entries are lost: its data is
// the newest sequence that is left and the newest that a node had seen (uvarints).
const EventLost = "lost"

// lostOf returns what such an entry says.
func lostOf(e *log.Entry) (from, upto uint64, ok bool) {
	if e.Kind != log.KindControl || e.Event != EventLost {
		return 0, 0, false
	}
	from, n := binary.Uvarint(e.Data)
	if n <= 0 {
		return 0, 0, false
	}
	upto, m := binary.Uvarint(e.Data[n:])
	return from, upto, m > 0
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a signal waits already
	}
}
