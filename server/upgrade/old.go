package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Old is the server that hands over. Each method is called at most once, in this order;
// those with ctx end soon after ctx does.
type Old interface {
	// Retained sends what can be taken while the server serves on.
	Retained(ctx context.Context, send func(Part) error) error

	// Ahead sends connections as they are while the server serves on, so that Connections has less to
	// say of them, at most MostDescriptors at a time.
	Ahead(ctx context.Context, send func(Batch) error) error

	// Freeze has the server stop to accept, read and append, when what is under way is
	// finished, and returns the newest sequence of its log. It changes nothing that Thaw
	// cannot change back, also after an error.
	Freeze(ctx context.Context) (head uint64, err error)

	// Rest sends what Retained could not.
	Rest(ctx context.Context, send func(Part) error) error

	// Connections sends all of them that can be handed over, at most MostDescriptors with descriptors at a
	// time: those that were sent ahead need none. The Batch and the descriptors stay the server's.
	Connections(ctx context.Context, send func(Batch) error) error

	// Left reports the places of those in a Batch, counted from 0, that stay, because the new process cannot go
	// on with them. It is called between the calls of send, or behind Connections.
	Left(batch int, places []int)

	// Thaw has the server go on. It follows Freeze, if the commit does not.
	Thaw()

	// Leave follows the commit: the server lets go of the log, ends, and neither sends
	// nor shuts down anything on the connections.
	Leave()
}

// Limits are how long an upgrade may take.
type Limits struct {
	Ready  time.Duration // until the new process has read its configuration and what is retained
	Frozen time.Duration // from Freeze to the commit; clients wait so long at most before the old process goes on
	Begun  time.Duration // for the answer to the commit
}

// Outcome is what became of an upgrade.
type Outcome struct {
	Committed   bool
	Begun       bool          // the new process has said that it serves
	Version     string        // of the program of the new process
	Frozen      time.Duration // how long clients waited, until the commit
	Paused      time.Duration // and until the new process served; 0 if it has not said so
	Steps       []Step        // of which that consists
	Connections int           // handed over
	Left        int           // of those that were offered: the new process cannot go on with them, and they stay

	// Stayed are the connections that are not handed over, by why, with those of Left. The server knows them.
	Stayed map[string]int
	Bytes  int // that were sent while clients waited
}

// Step is one part of the time in which clients wait.
type Step struct {
	Name string // "freeze", "tables", "connections", "prepare"
	Took time.Duration
}

// Offer hands the server to the process at the other end of the link. If the outcome is
// not Committed, the server goes on, and err is why.
func Offer(ctx context.Context, l *Link, m Manifest, listeners []int, old Old, limits Limits) (o Outcome, err error) {
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s := sender{link: l, old: old}
	if err := l.limit(limits.Ready); err != nil {
		return o, err
	}
	if err := l.send(kindManifest, m, listeners); err != nil {
		return o, s.explain(err)
	}
	f, err := l.answer(kindReady)
	if err != nil {
		return o, s.explain(err)
	}
	var y ready
	if err := f.decode(&y); err != nil {
		return o, err
	}
	o.Version = y.Version
	if err := s.all(old.Retained(ctx, s.part)); err != nil {
		return o, s.explain(err)
	}
	if err := s.all(old.Ahead(ctx, s.ahead)); err != nil {
		return o, s.explain(err)
	}
	s.bytes = 0

	if err := l.limit(limits.Frozen); err != nil {
		return o, err
	}
	began := time.Now()
	frozen, cancel := context.WithTimeout(ctx, limits.Frozen)
	defer cancel()
	at := began
	done := func(step string) {
		now := time.Now()
		o.Steps = append(o.Steps, Step{step, now.Sub(at)})
		at = now
	}
	head, err := old.Freeze(frozen)
	done("freeze")
	if err == nil {
		err = s.freeze(frozen, head, done)
	}
	if err == nil {
		err = context.Cause(frozen)
	}
	o.Connections, o.Left, o.Bytes = s.totals.Connections-s.left, s.left, s.bytes
	if err == nil {
		// A frame that is not whole is none: the new process ends, and this one goes on.
		err = l.send(kindCommit, nil, nil)
	}
	o.Frozen = time.Since(began)
	if err != nil {
		old.Thaw()
		return o, s.explain(err)
	}
	o.Committed = true
	stop() // there is no way back
	old.Leave()
	if l.limit(limits.Begun) == nil && l.expect(kindBegun) == nil {
		o.Begun, o.Paused = true, time.Since(began)
	}
	return o, nil
}

// mostUnderWay is how many parts and batches are sent before the first of them must have been taken: so both processes
// work at a time, and no more descriptors are under way than the kernel allows, which is the limit of open files.
const mostUnderWay = 4

// sender sends and counts.
type sender struct {
	link     *Link
	old      Old
	totals   Totals
	bytes    int   // since the freeze
	batches  int   // that were sent
	left     int   // connections of these that stay
	underWay []int // of what was sent and not taken yet: the number of a batch, -1 of a part
}

func (s *sender) freeze(ctx context.Context, head uint64, done func(step string)) error {
	if err := s.all(s.old.Rest(ctx, s.part)); err != nil {
		return err
	}
	done("tables")
	if err := s.all(s.old.Connections(ctx, s.batch)); err != nil {
		return err
	}
	done("connections")
	s.totals.Head = head
	if err := s.link.send(kindTotals, s.totals, nil); err != nil {
		return err
	}
	defer done("prepare")
	return s.link.expect(kindPrepared)
}

func (s *sender) part(p Part) error {
	s.totals.Parts++
	return s.send(kindPart, p, nil, -1)
}

func (s *sender) batch(b Batch) error {
	s.totals.Connections += b.Connections
	s.batches++
	return s.send(kindConnections, connections{b.Data, b.Connections}, b.Descriptors, s.batches-1)
}

func (s *sender) ahead(b Batch) error {
	s.totals.Ahead += b.Connections
	return s.send(kindAhead, connections{b.Data, b.Connections}, b.Descriptors, -1)
}

func (s *sender) send(k kind, value any, descriptors []int, batch int) error {
	n, err := s.link.sendCounted(k, value, descriptors)
	s.bytes += n
	if err != nil {
		return err
	}
	s.underWay = append(s.underWay, batch)
	return s.await(mostUnderWay)
}

// all waits until everything that was sent is taken, unless there is an error.
func (s *sender) all(err error) error {
	if err != nil {
		return err
	}
	return s.await(0)
}

// await waits until at most so many of what was sent are not taken yet: an error of the new process comes
// with its reason.
func (s *sender) await(most int) error {
	for len(s.underWay) > most {
		f, err := s.link.answer(kindTaken)
		if err != nil {
			return err
		}
		batch := s.underWay[0]
		s.underWay = s.underWay[1:]
		if batch < 0 || len(f.value) == 0 {
			continue
		}
		var t taken
		if err := f.decode(&t); err != nil {
			return err
		}
		if len(t.Left) > 0 {
			s.left += len(t.Left)
			s.old.Left(batch, t.Left)
		}
	}
	return nil
}

// explain prefers the reason that the new process has sent to the error of a send that
// found the link closed.
func (s *sender) explain(err error) error {
	if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return err
	}
	for range mostUnderWay + 1 { // what was taken before comes first
		f, e := s.link.receive()
		if e != nil {
			return err
		}
		closeAll(f.descriptors)
		if f.kind == kindRefused {
			return s.link.refusal(&f)
		}
	}
	return err
}

// expect waits for a frame of that kind.
func (l *Link) expect(want kind) error {
	_, err := l.answer(want)
	return err
}

// answer is expect for a frame with a value. The new process sends no descriptors.
func (l *Link) answer(want kind) (f frame, err error) {
	f, err = l.receive()
	if err != nil {
		return f, fmt.Errorf("wait for %q of the new process: %w", want.String(), err)
	}
	defer closeAll(f.descriptors)
	switch f.kind {
	case want:
		return f, nil
	case kindRefused:
		return f, l.refusal(&f)
	}
	return f, fmt.Errorf("the new process said %q instead of %q", f.kind, want)
}

func (l *Link) refusal(f *frame) error {
	var r refused
	if err := f.decode(&r); err != nil {
		return err
	}
	return &RefusedError{r.Reason}
}
