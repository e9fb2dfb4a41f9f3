package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// New is the server that takes over. An error of any method but Begin ends the upgrade, and
// the old server goes on; its text tells the operator of that why.
type New interface {
	// Accept decides about the manifest. The listeners are the server's from then on.
	Accept(m Manifest, listeners []int) error

	// Take takes a part; its memory is the server's.
	Take(p Part) error

	// Expect takes connections as they were while the old server served on; their descriptors are the
	// server's from then on. It does nothing with them, and closes those of which Adopt has not heard by Prepare.
	Expect(b Batch) error

	// Adopt takes connections; their descriptors are the server's from then on, but
	// nothing is read from them or sent to them before Begin. left are the places in the Batch of those that it cannot
	// go on with, whose descriptors are closed: they stay with the old process.
	Adopt(b Batch) (left []int, err error)

	// Prepare says that all is here. When it returns, nothing can fail any more but Begin.
	Prepare(t Totals) error

	// Begin follows the commit: the server serves.
	Begin() error
}

// Versioned is a New that says which version of the program it is, for the operator.
type Versioned interface{ ProgramVersion() string }

// ErrAbandoned: the old process has gone, or goes on itself. The new one must end; its
// descriptors are copies, so that does nothing to the connections.
var ErrAbandoned = errors.New("the running server did not complete the upgrade, and serves on")

// errEnding is why a process does not take over that a signal has asked to end.
var errEnding = errors.New("a signal has asked the new process to end; the running server serves on")

// Accept takes over from the process at the other end of the link. Its limit is that of
// the old process, which closes the link; after ctx has ended it returns soon.
func Accept(ctx context.Context, l *Link, server New) error {
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r := receiver{link: l, server: server}
	for {
		f, err := l.receive()
		if err == nil {
			err = r.take(f)
		}
		switch {
		case r.committed && err == nil:
			return nil
		case r.committed:
			return fmt.Errorf("after the commit: %w", err)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return ErrAbandoned
		case err != nil:
			if ctx.Err() != nil {
				err = errEnding
			}
			l.refuse(err)
			return err
		}
	}
}

// receiver takes frames, in the order in which they may come.
type receiver struct {
	link      *Link
	server    New
	accepted  bool
	prepared  bool
	committed bool
	totals    Totals // so far
}

// take does what the frame asks for. The descriptors of a frame that is refused are closed.
func (r *receiver) take(f frame) error {
	kept := false
	defer func() {
		if !kept {
			closeAll(f.descriptors)
		}
	}()
	if (f.kind == kindManifest) == r.accepted || (f.kind == kindCommit) != r.prepared {
		return fmt.Errorf("%q came at the wrong time", f.kind)
	}
	switch f.kind {
	case kindManifest:
		var m Manifest
		if err := f.decode(&m); err != nil {
			return err
		}
		if err := CheckFormat(m); err != nil {
			return err
		}
		if len(m.Listeners) != len(f.descriptors) {
			return fmt.Errorf("%d listeners with %d descriptors", len(m.Listeners), len(f.descriptors))
		}
		kept = true
		if err := r.server.Accept(m, f.descriptors); err != nil {
			return err
		}
		r.accepted = true
		var y ready
		if v, ok := r.server.(Versioned); ok {
			y.Version = v.ProgramVersion()
		}
		return r.link.send(kindReady, y, nil)
	case kindPart:
		var p Part
		if err := f.decode(&p); err != nil {
			return err
		}
		r.totals.Parts++
		if err := r.server.Take(p); err != nil {
			return fmt.Errorf("%s: %w", p.Room, err)
		}
		return r.link.send(kindTaken, nil, nil)
	case kindAhead:
		b, err := f.batch()
		if err != nil {
			return err
		}
		r.totals.Ahead += b.Connections
		kept = true
		if err := r.server.Expect(b); err != nil {
			return err
		}
		return r.link.send(kindTaken, nil, nil)
	case kindConnections:
		b, err := f.batch()
		if err != nil {
			return err
		}
		r.totals.Connections += b.Connections
		kept = true
		left, err := r.server.Adopt(b)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return r.link.send(kindTaken, nil, nil)
		}
		return r.link.send(kindTaken, taken{left}, nil)
	case kindTotals:
		var t Totals
		if err := f.decode(&t); err != nil {
			return err
		}
		if r.totals.Head = t.Head; r.totals != t {
			return fmt.Errorf("%d parts, %d connections ahead and %d at last came of %d, %d and %d", r.totals.Parts, r.totals.Ahead, r.totals.Connections, t.Parts, t.Ahead, t.Connections)
		}
		if err := r.server.Prepare(t); err != nil {
			return err
		}
		r.prepared = true
		return r.link.send(kindPrepared, nil, nil)
	case kindCommit:
		r.committed = true
		if err := r.server.Begin(); err != nil {
			return err
		}
		_ = r.link.send(kindBegun, nil, nil) // the old process may have ended
		return nil
	}
	return fmt.Errorf("%q is not for the new process", f.kind)
}

// batch reads a Batch, whose descriptors are those of the frame.
func (f *frame) batch() (Batch, error) {
	var c connections
	if err := f.decode(&c); err != nil {
		return Batch{}, err
	}
	if c.Connections < len(f.descriptors) {
		return Batch{}, fmt.Errorf("%d descriptors came with %d connections", len(f.descriptors), c.Connections)
	}
	return Batch{c.Data, c.Connections, f.descriptors}, nil
}

// refuseWait is how long a process that refuses waits for the other one to hang up: a
// socket that is closed with unread bytes resets, and the reason would be lost.
const refuseWait = 5 * time.Second

// refuse sends why the new process does not take over. Without the reason the old one sees
// the end of the link, so errors do not matter.
func (l *Link) refuse(why error) {
	if l.limit(refuseWait) != nil || l.send(kindRefused, refused{why.Error()}, nil) != nil {
		return
	}
	for {
		f, err := l.receive()
		if err != nil {
			return
		}
		closeAll(f.descriptors)
	}
}
