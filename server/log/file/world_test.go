package file_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// world is one random run: lives of a log on a directory that fails, and
// everything that was ever shown or promised, to hold each life against.
type world struct {
	random *rand.Rand
	fs     *faulty
	plant  func(w *world, l *file.Log) // a bug, between Open and Start

	lives  []*life
	copies []backup
	shown  map[log.Cursor]uint64 // what a subscriber saw under an epoch and a sequence
	truth  map[uint64]uint64     // by sequence: the entry that counts now, also where it is not retained any more
	serial uint64                // of the last entry made
	lost   int                   // entries that were shown and not recovered: the test must meet some

	forgetful bool // the planted bug: nothing is saved of the state

	keys map[uint64]byte // by serial, of control entries: what they are about

	restored int  // how often a copy was put back: likewise
	read     int  // entries that were read while the log was open: likewise
	missed   int  // parts of it that were missing: likewise
	kept     int  // values of the state whose entry was removed by retention: likewise
	deleted  bool // the directory was, and nothing has been written since
}

// backup is a copy of the directory.
type backup struct {
	files *faulty
	truth map[uint64]uint64 // when it was made
	lives int               // that had ended by then
}

// backUp copies the directory, also under a log that writes.
func (w *world) backUp(ended int) {
	if len(w.fs.segments()) == 0 {
		return // a copy of nothing is another log
	}
	w.copies = append(w.copies, backup{w.fs.copyOf(), maps.Clone(w.truth), ended})
}

// restore puts a copy back: whatever came after it is gone.
func (w *world) restore() {
	c := w.copies[w.random.IntN(len(w.copies))]
	w.fs.restore(c.files)
	w.truth = maps.Clone(c.truth)
	for _, l := range w.lives[c.lives:] {
		l.undone = true
	}
	w.restored++
}

// life is one opening of the log.
type life struct {
	w      *world
	policy string
	log    *file.Log
	oldest uint64
	view   map[uint64]uint64 // by sequence: the entries that this life has behind it, restored or showed
	state  map[byte]uint64   // of control: the serial of the newest entry about each key
	loaded uint64            // what the state stands for, while the log is restored
	head   uint64            // the last of view
	acked  uint64            // the last sequence of which done said that it is stored
	lost   bool              // the log said that the state may be incomplete
	torn   bool              // because of a torn end
	ended  bool              // Close returned nil
	undone bool              // a copy was put back that was made before its end

	mu     sync.Mutex // test and writer both find faults
	faults []string
}

func (l *life) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

func entryWith(serial uint64, random *rand.Rand) *log.Entry {
	data := make([]byte, 8+random.IntN(200))
	binary.LittleEndian.PutUint64(data, serial)
	return &log.Entry{Channel: "a", Data: data}
}

func serialOf(e *log.Entry) uint64 { return binary.LittleEndian.Uint64(e.Data) }

// see is called for every entry that this life restores or shows.
func (l *life) see(e *log.Entry) {
	if e.Kind == log.KindControl && e.Sequence > l.loaded {
		l.state[e.Event[0]] = serialOf(e)
	}
	if e.Sequence < l.oldest {
		if e.Kind != log.KindControl {
			l.fault("sequence %d is restored, the oldest is %d", e.Sequence, l.oldest)
		}
		return
	}
	if e.Sequence != l.head+1 {
		l.fault("sequence %d follows %d", e.Sequence, l.head)
	}
	l.head = e.Sequence
	l.view[e.Sequence] = serialOf(e)
	l.w.truth[e.Sequence] = serialOf(e)
	at := l.log.Lineage().Cursor(e.Sequence)
	if was, ok := l.w.shown[at]; ok && was != serialOf(e) {
		l.fault("cursor %v was entry %d and is entry %d", at, was, serialOf(e))
	}
	l.w.shown[at] = serialOf(e)
}

func (l *life) Room(entries, bytes int) bool { return true }
func (l *life) Wake()                        {}
func (l *life) Apply(batch []*log.Entry) {
	for _, e := range batch {
		l.see(e)
	}
	if l.log.Head() != l.head {
		l.fault("the head is %d while %d is shown", l.log.Head(), l.head)
	}
}

// Save and Load are those of log.State: what the control entries have led to.
func (l *life) Save() (state []byte) {
	if l.w.forgetful {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(l.state)) {
		state = binary.LittleEndian.AppendUint64(append(state, key), l.state[key])
	}
	return state
}

func (l *life) Load(state []byte, upto uint64) error {
	l.loaded = upto
	for ; len(state) > 0; state = state[9:] {
		l.state[state[0]] = binary.LittleEndian.Uint64(state[1:])
	}
	return nil
}

func (l *life) Lost(why string) { l.lost, l.torn = true, strings.Contains(why, "torn") }

// judgeLost: a start in an empty directory knows of no orders, and one that goes on
// from a clean stop knows all, unless there was no room for its footer.
func (l *life) judgeLost(empty, state bool) {
	lives := l.w.lives
	clean := len(lives) > 0 && lives[len(lives)-1].ended && !lives[len(lives)-1].undone
	switch {
	case empty && !l.lost:
		l.fault("the directory was empty, and Lost was not called")
	case !empty && state && clean && l.lost && !l.torn:
		l.fault("the life before ended well, and Lost was called")
	}
}

// judgeState checks that what the control entries up to the head led to is here,
// also where they were removed long ago. It may be newer, where a tail was lost
// after the state was saved.
func (l *life) judgeState() {
	want, at := map[byte]uint64{}, map[byte]uint64{}
	for sequence := uint64(1); sequence <= l.head; sequence++ {
		serial := l.w.truth[sequence]
		if key, ok := l.w.keys[serial]; ok {
			want[key], at[key] = serial, sequence
		}
	}
	for key, serial := range want {
		if l.state[key] < serial {
			l.fault("key %c is restored as entry %d, and was entry %d, sequence %d", key, l.state[key], serial, at[key])
		}
		if at[key] < l.oldest {
			l.w.kept++
		}
	}
	for key, serial := range l.state {
		if of, ok := l.w.keys[serial]; !ok || of != key {
			l.fault("key %c is restored as entry %d, which is not about it", key, serial)
		}
	}
}

var policies = []string{file.Always, file.Interval, file.Never}

// begin opens the log; nil where the directory failed in the middle of that.
func (w *world) begin() (*life, error) {
	l := &life{w: w, policy: policies[w.random.IntN(3)], view: map[uint64]uint64{}, state: map[byte]uint64{}}
	var err error
	l.log, err = file.OpenOn(file.Config{
		Fsync:        l.policy,
		SegmentBytes: 500 + w.random.IntN(3000),
		TotalBytes:   []int{-1, 20_000}[w.random.IntN(2)],
		Log:          slog.New(slog.DiscardHandler),
	}, w.fs, time.Now, log.NewEpoch)
	if err != nil {
		return nil, err
	}
	if w.deleted && l.log.Head() == 0 {
		w.lives, w.copies, w.truth = nil, nil, map[uint64]uint64{} // another log
	}
	w.deleted = false
	state, empty := w.fs.names[file.StateName] != nil, len(w.fs.segments()) == 0
	if w.plant != nil {
		w.plant(w, l.log)
	}
	l.log.Keep(l)
	l.oldest, l.head = l.log.Oldest(), l.log.Oldest()-1
	for sequence := range l.head {
		l.view[sequence+1] = w.truth[sequence+1] // not retained, and yet what its cursors stand behind
	}
	err = l.log.Start(l, func(batch []*log.Entry) {
		for _, e := range batch {
			l.see(e)
		}
	})
	if err != nil {
		return nil, errors.Join(err, l.log.Close())
	}
	if l.head != l.log.Head() {
		l.fault("restored up to %d, the head is %d", l.head, l.log.Head())
	}
	l.acked, l.loaded = l.head, 0
	l.judgeLost(empty && !state, state)
	l.judge()
	l.judgeState()
	w.lives = append(w.lives, l)
	return l, nil
}

// judge holds what was recovered against all earlier lives.
func (l *life) judge() {
	for i, earlier := range l.w.lives {
		// Up to agreed this life goes on from what the earlier one had.
		agreed := uint64(0)
		for agreed < min(l.head, earlier.head) && l.w.truth[agreed+1] == earlier.view[agreed+1] {
			agreed++
		}
		if agreed < earlier.head && l.oldest <= earlier.head {
			l.w.lost++
			if earlier.ended && !earlier.undone {
				l.fault("life %d ended well at %d, and %d is recovered", i, earlier.head, agreed)
			}
			if earlier.policy == file.Always && !earlier.undone {
				l.fault("life %d showed up to %d under always, and %d is recovered", i, earlier.head, agreed)
			}
		}
		for at := max(l.oldest-1, earlier.oldest-1); at <= earlier.head; at++ {
			sequence, ok := l.log.Resolve(earlier.log.Lineage().Cursor(at))
			if ok != (at <= agreed) || ok && sequence != at {
				l.fault("cursor %d of life %d resolves %v to %d, and up to %d all is recovered", at, i, ok, sequence, agreed)
			}
		}
	}
}

// readSome reads on from somewhere, as a tail does that has fallen behind, and holds
// what it gets against what was shown.
func (l *life) readSome() {
	after := l.w.random.Uint64N(l.log.Head() + 1)
	for range 20 {
		entries, err := l.log.Read(nil, after, 1+l.w.random.IntN(5), 1+l.w.random.IntN(2000))
		var missing *log.MissingError
		switch {
		case errors.As(err, &missing):
			if missing.After != after || missing.Upto <= after || missing.Upto > l.log.Head() || len(entries) > 0 {
				l.fault("read behind %d: %v", after, err)
				return
			}
			l.w.missed++
			after = missing.Upto
		case err != nil:
			if l.log.Failing() == nil && l.w.isHealthy() {
				l.fault("read behind %d: %v", after, err)
			}
			return
		case len(entries) == 0:
			if after != l.log.Head() {
				l.fault("nothing is read behind %d, the head is %d", after, l.log.Head())
			}
			return
		}
		for _, e := range entries {
			if e.Sequence != after+1 || serialOf(e) != l.w.truth[e.Sequence] {
				l.fault("read behind %d: entry %d, sequence %d, and %d was shown there", after, serialOf(e), e.Sequence, l.w.truth[e.Sequence])
			}
			after = e.Sequence
			l.w.read++
		}
	}
}

// isHealthy reports whether the directory is as it should be.
func (w *world) isHealthy() bool {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	return w.fs.dead < 0 && w.fs.failing == 0 && w.fs.room < 0 && !w.fs.away && !w.fs.deleted && !w.deleted
}

// publish appends a few batches, and checks what becomes of them.
func (l *life) publish() {
	for range 1 + l.w.random.IntN(5) {
		batch := make([]*log.Entry, l.w.random.IntN(4))
		control := l.w.random.IntN(5) == 0
		for i := range batch {
			l.w.serial++
			batch[i] = entryWith(l.w.serial, l.w.random)
			if control {
				batch[i].Kind = log.KindControl
				l.w.keys[l.w.serial] = 'a' + byte(l.w.random.IntN(20))
				batch[i].Event = string(l.w.keys[l.w.serial])
			}
		}
		err := l.log.Append(batch, func(err error) {
			for _, e := range batch {
				switch {
				case err == nil && l.view[e.Sequence] != serialOf(e):
					l.fault("entry %d is done and was not shown", serialOf(e))
				case err == nil:
					l.acked = e.Sequence
				case !errors.Is(err, log.ErrStorage):
					l.fault("done with %v", err)
				case l.view[e.Sequence] == serialOf(e):
					l.fault("entry %d failed and was shown", serialOf(e))
				}
			}
		})
		if err != nil && !errors.Is(err, log.ErrStorage) && !errors.Is(err, log.ErrFull) {
			l.fault("append: %v", err)
		}
	}
}

// live runs one life: publishes, lets time pass, has the directory fail and
// heal, and ends it in one of three ways.
func (w *world) live(t *testing.T, l *life) {
	for range 5 + w.random.IntN(30) {
		switch w.random.IntN(15) {
		case 0:
			time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond) // of the bubble
		case 1:
			w.fs.mu.Lock()
			w.fs.failing = w.random.Float64() / 4
			if w.random.IntN(2) == 0 {
				w.fs.failing = 1 // not even what is refused is cut off
			}
			w.fs.mu.Unlock()
		case 2:
			w.fs.mu.Lock()
			w.fs.room = w.random.IntN(2000)
			w.fs.mu.Unlock()
		case 12:
			w.fs.mu.Lock()
			w.fs.away = true
			w.fs.mu.Unlock()
		case 14:
			if w.random.IntN(4) == 0 {
				w.deleted = true
				w.fs.remove()
			}
		case 13:
			w.backUp(len(w.lives) - 1)
		case 3, 4, 5:
			w.heal()
			if w.random.IntN(2) == 0 {
				time.Sleep(2200 * time.Millisecond) // to notice, and to try again
				synctest.Wait()
				if err := l.log.Append(nil, nil); err != nil {
					l.fault("two seconds after the directory healed: %v", err)
				}
				w.deleted = false
			}
		default:
			l.publish()
			w.fs.mu.Lock()
			failing := w.fs.failing > 0
			w.fs.mu.Unlock()
			if failing && w.random.IntN(3) == 0 {
				synctest.Wait()
				w.backUp(len(w.lives) - 1) // of what was refused, perhaps
			}
		}
		if w.random.IntN(3) > 0 {
			synctest.Wait()
			if w.random.IntN(3) == 0 {
				l.readSome()
			}
		}
	}
	ending := w.random.IntN(3)
	if ending > 0 {
		w.fs.mu.Lock()
		w.fs.dead = w.random.IntN(8)
		w.fs.mu.Unlock()
		l.publish()
	} else {
		w.heal()
	}
	err := l.log.Close()
	switch ending {
	case 0:
		l.ended = err == nil
	case 1:
		w.fs.kill()
	case 2:
		w.fs.powerLoss()
	}
	w.heal()
	if l.head == 0 && len(w.fs.segments()) == 0 {
		w.deleted = true // or never written: the disk was full from the start
	}
	if l.acked > l.head {
		l.fault("done up to %d, shown up to %d", l.acked, l.head)
	}
}

func (w *world) heal() {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.fs.failing, w.fs.room, w.fs.away, w.fs.deleted = 0, -1, false, false
}

// run lets a few lives follow one another. It returns what was wrong.
func (w *world) run(t *testing.T) (faults []string) {
	for range 8 {
		switch {
		case w.random.IntN(3) == 0:
			w.backUp(len(w.lives))
		case len(w.copies) > 0 && w.random.IntN(4) == 0:
			w.restore()
		}
		if w.random.IntN(4) == 0 {
			w.fs.dead = w.random.IntN(20) // while it starts
		}
		if w.random.IntN(5) == 0 {
			w.fs.fill(w.random.IntN(500))
		}
		l, err := w.begin()
		w.fs.mu.Lock()
		dead := w.fs.dead >= 0
		w.fs.dead = -1
		w.fs.mu.Unlock()
		if err != nil {
			if !dead || !errors.Is(err, errDead) {
				return append(faults, fmt.Sprintf("life %d: %v", len(w.lives), err))
			}
			w.fs.powerLoss()
			w.heal()
			continue
		}
		w.live(t, l)
		for _, f := range l.faults {
			faults = append(faults, fmt.Sprintf("life %d (%s): %s", len(w.lives)-1, l.policy, f))
		}
		if len(faults) > 0 {
			return faults
		}
	}
	return nil
}

func newWorld(seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 3))
	return &world{random: random, fs: newFaulty(rand.New(rand.NewPCG(seed, 4))), shown: map[log.Cursor]uint64{}, truth: map[uint64]uint64{}, keys: map[uint64]byte{}}
}
