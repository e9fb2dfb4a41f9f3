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

	// Freeze has the server stop to accept, read and append, when what is under way is
	// finished, and returns the newest sequence of its log. It changes nothing that Thaw
	// cannot change back, also after an error.
	Freeze(ctx context.Context) (head uint64, err error)

	// Rest sends what Retained could not.
	Rest(ctx context.Context, send func(Part) error) error

	// Connections sends all of them that can be handed over, at most MostDescriptors at a
	// time. The Batch and the descriptors stay the server's.
	Connections(ctx context.Context, send func(Batch) error) error

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
	Frozen      time.Duration // how long clients waited
	Connections int           // handed over
}

// Offer hands the server to the process at the other end of the link. If the outcome is
// not Committed, the server goes on, and err is why.
func Offer(ctx context.Context, l *Link, m Manifest, listeners []int, old Old, limits Limits) (o Outcome, err error) {
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s := sender{link: l}
	if err := l.limit(limits.Ready); err != nil {
		return o, err
	}
	if err := l.send(kindManifest, m, listeners); err != nil {
		return o, s.explain(err)
	}
	if err := l.expect(kindReady); err != nil {
		return o, err
	}
	if err := old.Retained(ctx, s.part); err != nil {
		return o, s.explain(err)
	}

	if err := l.limit(limits.Frozen); err != nil {
		return o, err
	}
	began := time.Now()
	frozen, cancel := context.WithTimeout(ctx, limits.Frozen)
	defer cancel()
	head, err := old.Freeze(frozen)
	if err == nil {
		err = s.freeze(frozen, old, head)
	}
	if err == nil {
		err = context.Cause(frozen)
	}
	o.Connections = s.totals.Connections
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
	old.Leave()
	if l.limit(limits.Begun) == nil && l.expect(kindBegun) == nil {
		o.Begun = true
	}
	return o, nil
}

// sender sends and counts.
type sender struct {
	link   *Link
	totals Totals
}

func (s *sender) freeze(ctx context.Context, old Old, head uint64) error {
	if err := old.Rest(ctx, s.part); err != nil {
		return err
	}
	if err := old.Connections(ctx, s.batch); err != nil {
		return err
	}
	s.totals.Head = head
	if err := s.link.send(kindTotals, s.totals, nil); err != nil {
		return err
	}
	return s.link.expect(kindPrepared)
}

// part sends one, and waits until it was taken: so an error of the new process comes
// with its reason, and no more descriptors are under way than the kernel allows.
func (s *sender) part(p Part) error {
	s.totals.Parts++
	if err := s.link.send(kindPart, p, nil); err != nil {
		return err
	}
	return s.link.expect(kindTaken)
}

func (s *sender) batch(b Batch) error {
	s.totals.Connections += len(b.Descriptors)
	if err := s.link.send(kindConnections, b.Data, b.Descriptors); err != nil {
		return err
	}
	return s.link.expect(kindTaken)
}

// explain prefers the reason that the new process has sent to the error of a send that
// found the link closed.
func (s *sender) explain(err error) error {
	if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return err
	}
	if f, e := s.link.receive(); e == nil {
		defer closeAll(f.descriptors)
		if f.kind == kindRefused {
			return s.link.refusal(&f)
		}
	}
	return err
}

// expect waits for a frame of that kind without a value.
func (l *Link) expect(want kind) error {
	f, err := l.receive()
	if err != nil {
		return fmt.Errorf("wait for %q of the new process: %w", want.String(), err)
	}
	defer closeAll(f.descriptors)
	switch f.kind {
	case want:
		return nil
	case kindRefused:
		return l.refusal(&f)
	}
	return fmt.Errorf("the new process said %q instead of %q", f.kind, want)
}

func (l *Link) refusal(f *frame) error {
	var r refused
	if err := f.decode(&r); err != nil {
		return err
	}
	return &RefusedError{r.Reason}
}
