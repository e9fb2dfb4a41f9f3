package simulation_test

import (
	"log/slog"
	"math/rand/v2"
	"testing/synctest"
	"time"

	"peal/server/control"
	"peal/server/log"
	"peal/server/log/file"
)

// files is the file engine, on a disk that loses what was not synced, is full
// and fails. Its writer has a goroutine of its own, which moves only when the
// world lets it.
type files struct {
	rnd     *rand.Rand
	config  file.Config
	platter *platter
	life    *filesLife
	epoch   log.Epoch // the newest of all branches

	forgetful bool // planted: retention removes orders without saving what they led to
}

func newFiles(rnd *rand.Rand) *files {
	return &files{
		rnd: rnd,
		config: file.Config{
			Fsync:         []string{file.Always, file.Interval, file.Never}[rnd.IntN(3)],
			FsyncInterval: time.Duration(1+rnd.IntN(3000)) * time.Millisecond,
			SegmentBytes:  500 + rnd.IntN(4000),
			TotalBytes:    []int{-1, 5000, 15_000}[rnd.IntN(3)],
			Age:           []time.Duration{-1, 20 * time.Second}[rnd.IntN(2)],
			QueueEntries:  1 + rnd.IntN(40),
			Log:           slog.New(slog.DiscardHandler),
		},
		platter: newPlatter(rnd),
		epoch:   firstEpoch,
	}
}

func (s *files) keepsShown() bool { return s.config.Fsync == file.Always }
func (s *files) remembers() bool  { return true }

func (s *files) open(tail log.Tail, c *control.Control) (engine, uint64, []*log.Entry) {
	m := newMount(s.platter)
	l, err := file.OpenOn(s.config, m, time.Now, s.newEpoch)
	if err != nil {
		panic(err)
	}
	oldest := l.Oldest()
	var recovered []*log.Entry
	if !s.forgetful {
		l.Keep(c)
	}
	keep := func(batch []*log.Entry) {
		c.Restore(batch)
		for _, e := range batch {
			switch {
			case e.Sequence >= oldest:
				recovered = append(recovered, e)
			case e.Kind != log.KindControl || len(recovered) > 0:
				panic("simulation: an entry before the oldest, and not of control, or not before the others")
			}
		}
	}
	if err := l.Start(tail, keep); err != nil {
		panic(err)
	}
	synctest.Wait()
	m.set(func(m *mount) { m.gated = true })
	s.life = &filesLife{Log: l, s: s, mount: m}
	return s.life, oldest, recovered
}

// copy copies the files as programs see them.
func (s *files) copy() (restore func()) { return s.platter.copy() }

// stop ends the life: well, if the disk lets it, or by a power loss wherever the
// writer is.
func (s *files) stop(clean bool) {
	if s.life == nil {
		return // it could not be opened
	}
	m := s.life.mount
	m.set(func(m *mount) {
		m.gated, m.off = false, !clean
		if clean {
			m.full, m.failing = false, false
		}
	})
	if !clean {
		s.platter.powerLoss()
	}
	close(m.gate)
	_ = s.life.Close() // says what may be lost, where the power is off
	s.life = nil
}

func (s *files) newEpoch() log.Epoch { s.epoch++; return s.epoch }

func (s *files) succeed(h log.Handover) (incoming, error) {
	m := newMount(s.platter)
	l, err := file.SucceedOn(s.config, m, time.Now, s.newEpoch, h)
	return &filesLife{Log: l, s: s, mount: m}, err
}

// mayRefuse: what was shown and not synced may be given up where a sync fails, and an entry may be removed
// where the disk is full.
func (s *files) mayRefuse() (failed bool) {
	s.life.mount.set(func(m *mount) { failed = m.failed })
	return failed
}

func (s *files) release(e engine) error {
	m := e.(*filesLife).mount
	m.set(func(m *mount) { m.gated, m.full, m.failing = false, false, false })
	close(m.gate)
	return e.(*filesLife).Release()
}

func (s *files) begun(e incoming) {
	synctest.Wait()
	s.life = e.(*filesLife)
	s.life.mount.set(func(m *mount) { m.gated = true })
}

// filesLife is one life of it.
type filesLife struct {
	*file.Log
	s     *files
	mount *mount
}

// Append lets the writer take the batch, and wait at the gate with it.
func (l *filesLife) Append(batch []*log.Entry, done func(error)) error {
	err := l.Log.Append(batch, done)
	synctest.Wait()
	return err
}

// work lets the writer do one thing with the disk. The disk fails now and then.
func (l *filesLife) work() {
	switch l.s.rnd.IntN(60) {
	case 0:
		l.mount.set(func(m *mount) { m.full = true })
	case 1:
		l.mount.set(func(m *mount) { m.failing = true })
	case 2, 3, 4, 5, 6, 7:
		l.mount.set(func(m *mount) { m.full, m.failing = false, false })
	}
	l.mount.pass()
}
