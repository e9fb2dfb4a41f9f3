package simulation_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"peal/server/control"
	"peal/server/log"
	"peal/server/log/memory"
)

// storage is what a log is kept in. It outlives the server.
type storage interface {
	// open begins a life of the log, which feeds tail. recovered is what was
	// kept of the lives before, from the sequence oldest on. c restores its orders.
	open(tail log.Tail, c *control.Control) (e engine, oldest uint64, recovered []*log.Entry)

	// stop ends the life. Without clean it is a loss of power.
	stop(clean bool)

	// copy copies what is kept, also while a life goes on; restore puts the copy
	// back between two lives. nil: nothing is kept.
	copy() (restore func())

	// keepsShown tells whether everything that was ever shown to a reader is recovered.
	keepsShown() bool

	// remembers tells whether cursors of earlier lives are understood.
	remembers() bool
}

// engine is one life of a log.
type engine interface {
	log.Log

	// work does a piece of what the engine does on its own goroutine.
	work()
}

// firstEpoch is the epoch of the first life. Epochs are counted, not drawn, so
// that cursors are of the same length in every run of a seed.
const firstEpoch log.Epoch = 50_000_000_000

// noStorage keeps nothing: the memory engine.
type noStorage struct{ epoch log.Epoch }

type memoryLife struct{ *memory.Log }

func (s *noStorage) newEpoch() log.Epoch { s.epoch++; return firstEpoch + s.epoch }

func (s *noStorage) open(tail log.Tail, c *control.Control) (engine, uint64, []*log.Entry) {
	l := memory.OpenIn(time.Now, s.newEpoch)
	l.Keep(c)
	_ = l.Start(tail, nil) // it restores nothing, and never fails
	return memoryLife{l}, 1, nil
}
func (s *noStorage) succeed(h log.Handover) (incoming, error) {
	l, err := memory.SucceedIn(time.Now, s.newEpoch, h)
	return memoryLife{l}, err
}
func (s *noStorage) release(e engine) error { return e.(log.Outgoing).Release() }
func (s *noStorage) mayRefuse() bool        { return false }
func (s *noStorage) begun(incoming)         {}

func (s *noStorage) stop(bool)        {}
func (s *noStorage) copy() func()     { return nil }
func (s *noStorage) keepsShown() bool { return false }
func (s *noStorage) remembers() bool  { return false }

func (memoryLife) work() {}

// disk is a log on a disk, as plainly as can be: whole records, of which those
// beyond synced may be lost with the power. It stands for engines that keep
// something, with the bugs that they may have.
type disk struct {
	rnd     *rand.Rand
	syncs   bool // each batch is synced before it is shown
	records [][]byte
	synced  int
	lineage *log.Lineage // of the life that wrote last
	drawn   log.Epoch    // the newest of all branches
	life    *diskLife

	// Planted bugs.
	reuses     bool // a life after a lost tail has the epoch of the one before
	trusts     bool // a life after a good stop goes on in its epoch, and has it on the disk
	ended      bool // well; of trusts, and on the disk
	showsFirst bool // what should be synced before it is shown is synced later
}

func (d *disk) copy() (restore func()) {
	records, lineage, ended := slices.Clone(d.records), d.lineage, d.ended
	return func() { d.records, d.synced, d.lineage, d.ended = records, len(records), lineage, ended }
}

func (d *disk) keepsShown() bool { return d.syncs }
func (d *disk) remembers() bool  { return true }

func (d *disk) open(tail log.Tail, c *control.Control) (engine, uint64, []*log.Entry) {
	recovered := make([]*log.Entry, 0, len(d.records))
	var carrier *log.Entry
	for _, b := range d.records {
		e, n, err := log.ParseEntry(b)
		if err != nil || n != len(b) {
			panic("simulation: a record of the disk cannot be read")
		}
		switch {
		case e.Refers():
			if !e.Take(carrier) {
				panic("simulation: a record refers to data that is not there")
			}
		case e.Shared != nil:
			carrier = &e
		}
		recovered = append(recovered, &e)
	}
	c.Restore(recovered)
	if d.lineage == nil || !d.reuses && !(d.trusts && d.ended) {
		d.lineage = d.succeed(uint64(len(recovered)))
	}
	d.ended = false
	d.life = &diskLife{disk: d, tail: tail, lineage: d.lineage, numbered: uint64(len(recovered)), shown: uint64(len(recovered))}
	return d.life, 1, recovered
}

// succeed begins a new epoch behind last.
func (d *disk) succeed(last uint64) *log.Lineage {
	var past []log.Predecessor
	if d.lineage != nil {
		past = append(slices.Clone(d.lineage.Predecessors()), log.Predecessor{Epoch: d.lineage.Epoch(), Last: last})
	}
	for i := range past {
		past[i].Last = min(past[i].Last, last)
	}
	d.drawn++
	return log.NewLineage(firstEpoch+d.drawn, past...)
}

func (d *disk) stop(clean bool) {
	if clean {
		d.ended = true
		for len(d.life.queue) > 0 {
			d.life.work()
		}
		d.synced = len(d.records)
		return
	}
	// What was written, and what was about to be, survives up to anywhere.
	for _, b := range d.life.queue {
		d.write(b.entries)
	}
	d.records = d.records[:d.synced+d.rnd.IntN(len(d.records)-d.synced+1)]
	d.synced = len(d.records)
}

func (d *disk) write(entries []*log.Entry) {
	for _, e := range entries {
		d.records = append(d.records, log.AppendEntry(nil, e))
	}
}

// diskLife is one life of a disk's log. It accepts at once; work writes.
type diskLife struct {
	disk     *disk
	tail     log.Tail
	lineage  *log.Lineage
	numbered uint64
	shown    uint64
	queue    []queuedBatch
	entries  int // in queue
	bytes    int // in queue
	closed   bool
}

type queuedBatch struct {
	entries []*log.Entry
	bytes   int
	done    func(error)
}

func (l *diskLife) Lineage() *log.Lineage { return l.lineage }
func (l *diskLife) Head() uint64          { return l.shown }
func (l *diskLife) Close() error          { l.closed = true; return nil }

func (l *diskLife) Append(batch []*log.Entry, done func(error)) error {
	b := queuedBatch{entries: append([]*log.Entry(nil), batch...), bytes: log.Charge(batch), done: done}
	if l.closed {
		return log.ErrClosed
	}
	if !l.tail.Room(l.entries+len(batch), l.bytes+b.bytes) {
		return log.ErrFull
	}
	log.Number(batch, l.numbered+1, time.Now().UnixMilli())
	l.numbered += uint64(len(batch))
	l.queue = append(l.queue, b)
	l.entries += len(batch)
	l.bytes += b.bytes
	return nil
}

// work writes the oldest batch, syncs it if the promise asks for it, and shows
// it. Without the promise it syncs now and then.
func (l *diskLife) work() {
	d := l.disk
	if d.rnd.IntN(20) == 0 {
		d.synced = len(d.records)
	}
	if len(l.queue) == 0 {
		return
	}
	b := l.queue[0]
	l.queue = l.queue[1:]
	l.entries -= len(b.entries)
	l.bytes -= b.bytes
	d.write(b.entries)
	if d.syncs && !d.showsFirst {
		d.synced = len(d.records)
	}
	l.shown += uint64(len(b.entries))
	l.tail.Apply(b.entries)
	l.tail.Wake()
	b.done(nil)
}

func (l *diskLife) Resolve(c log.Cursor) (uint64, bool) { return l.lineage.Resolve(c, l.shown) }
