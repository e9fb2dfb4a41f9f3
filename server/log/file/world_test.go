package file_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	forge  bool // planted: each life believes that the one before ended well

	interrupted bool // a start failed since the last life ended

	lives  []*life
	shown  map[log.Cursor]uint64 // what a subscriber saw under an epoch and a sequence
	truth  map[uint64]uint64     // by sequence: the entry that counts now, also where it is not retained any more
	serial uint64                // of the last entry made
	lost   int                   // entries that were shown and not recovered: the test must meet some
}

// life is one opening of the log.
type life struct {
	w      *world
	policy string
	log    *file.Log
	epoch  log.Epoch
	oldest uint64
	view   map[uint64]uint64 // by sequence: the entries that this life restored or showed
	head   uint64            // the last of view
	acked  uint64            // the last sequence of which done said that it is stored
	ended  bool              // Close returned nil

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
	if e.Sequence != l.head+1 {
		l.fault("sequence %d follows %d", e.Sequence, l.head)
	}
	l.head = e.Sequence
	l.view[e.Sequence] = serialOf(e)
	l.w.truth[e.Sequence] = serialOf(e)
	at := log.Cursor{Epoch: l.epoch, Sequence: e.Sequence}
	if was, ok := l.w.shown[at]; ok && was != serialOf(e) {
		l.fault("sequence %d was entry %d and is entry %d in the same epoch", e.Sequence, was, serialOf(e))
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

var policies = []string{file.Always, file.Interval, file.Never}

// begin opens the log; nil where the directory failed in the middle of that.
func (w *world) begin() (*life, error) {
	l := &life{w: w, policy: policies[w.random.IntN(3)], view: map[uint64]uint64{}}
	var err error
	l.log, err = file.OpenOn(file.Config{
		Fsync:        l.policy,
		SegmentBytes: 500 + w.random.IntN(3000),
		TotalBytes:   []int{-1, 20_000}[w.random.IntN(2)],
		Log:          slog.New(slog.DiscardHandler),
	}, w.fs, time.Now)
	if err != nil {
		return nil, err
	}
	l.epoch, l.oldest, l.head = l.log.Epoch(), l.log.Oldest(), l.log.Oldest()-1
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
	l.acked = l.head
	l.judge()
	w.lives = append(w.lives, l)
	return l, nil
}

// judge holds what was recovered against all earlier lives.
func (l *life) judge() {
	for i, earlier := range l.w.lives {
		// Up to agreed this life goes on from what the earlier one had.
		agreed := earlier.oldest - 1
		for agreed < min(l.head, earlier.head) && l.w.truth[agreed+1] == earlier.view[agreed+1] {
			agreed++
		}
		if agreed < earlier.head && l.oldest <= earlier.head {
			l.w.lost++
			if earlier.ended {
				l.fault("life %d ended well at %d, and %d is recovered", i, earlier.head, agreed)
			}
			if earlier.policy == file.Always {
				l.fault("life %d showed up to %d under always, and %d is recovered", i, earlier.head, agreed)
			}
		}
		for at := max(l.oldest-1, earlier.oldest-1); at <= earlier.head; at++ {
			sequence, ok := l.log.Resolve(log.Cursor{Epoch: earlier.epoch, Sequence: at})
			if ok != (at <= agreed) || ok && sequence != at {
				l.fault("cursor %d of life %d resolves %v to %d, and up to %d all is recovered", at, i, ok, sequence, agreed)
			}
		}
	}
	if last := len(l.w.lives) - 1; last >= 0 && l.w.lives[last].ended && !l.w.interrupted && l.w.lives[last].epoch != l.epoch {
		l.fault("life %d ended well, and the epoch is another", last)
	}
}

// publish appends a few batches, and checks what becomes of them.
func (l *life) publish() {
	for range 1 + l.w.random.IntN(5) {
		batch := make([]*log.Entry, l.w.random.IntN(4))
		for i := range batch {
			l.w.serial++
			batch[i] = entryWith(l.w.serial, l.w.random)
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
		switch w.random.IntN(12) {
		case 0:
			time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond) // of the bubble
		case 1:
			w.fs.mu.Lock()
			w.fs.failing = w.random.Float64() / 4
			w.fs.mu.Unlock()
		case 2:
			w.fs.mu.Lock()
			w.fs.room = w.random.IntN(2000)
			w.fs.mu.Unlock()
		case 3, 4, 5:
			w.heal()
			if w.random.IntN(2) == 0 {
				time.Sleep(1100 * time.Millisecond)
				synctest.Wait()
				if err := l.log.Append(nil, nil); err != nil {
					l.fault("a second after the directory healed: %v", err)
				}
			}
		default:
			l.publish()
		}
		if w.random.IntN(3) > 0 {
			synctest.Wait()
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
	if l.acked > l.head {
		l.fault("done up to %d, shown up to %d", l.acked, l.head)
	}
}

func (w *world) heal() {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.fs.failing, w.fs.room = 0, -1
}

// run lets a few lives follow one another. It returns what was wrong.
func (w *world) run(t *testing.T) (faults []string) {
	for range 8 {
		if w.forge {
			if err := file.ForgeMarker(w.fs); err != nil {
				t.Fatal(err)
			}
		}
		if w.random.IntN(4) == 0 {
			w.fs.dead = w.random.IntN(20) // while it starts
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
			w.interrupted = true
			continue
		}
		w.interrupted = false
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
	return &world{random: random, fs: newFaulty(rand.New(rand.NewPCG(seed, 4))), shown: map[log.Cursor]uint64{}, truth: map[uint64]uint64{}}
}
