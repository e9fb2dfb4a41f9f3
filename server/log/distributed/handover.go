package distributed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peal/server/log"
)

// The hand-over of a node; see log.Outgoing and log.Incoming. The log is in the store, and other nodes go on appending
// to it. The successor has the same name among the nodes, so none of them notices. It goes on exactly where the node has stopped to
// apply: what others have appended since comes to its tails, and is not restored. The epoch goes on, too: it is that of the
// store.

// Offer implements log.Outgoing. The store does not keep what it has for a successor: what is removed
// meanwhile is lost to that, and then it ends.
func (l *Log) Offer() (h log.Handover, err error) {
	if err := l.Failing(); err != nil {
		return h, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.stop == nil {
		return h, log.ErrClosed
	}
	if l.allowed >= 0 {
		return h, log.ErrPaused
	}
	return l.stand(), nil
}

func (l *Log) stand() (h log.Handover) {
	h.Engine, h.Node, h.Head = "distributed", l.node, l.head.Load()
	l.lineage.HandOver(&h)
	return h
}

// EachRetained implements log.Outgoing: a successor reads the store.
func (l *Log) EachRetained(_, _ uint64, _ func(batch []*log.Entry) error) error { return nil }

// pauseLook is how often Pause looks whether batches are done.
const pauseLook = time.Millisecond

// Pause implements log.Outgoing. Nothing is applied afterwards either, whoever has appended it. Batches wait as long as
// those of a store that cannot be reached.
func (l *Log) Pause(ctx context.Context) (h log.Handover, err error) {
	l.mu.Lock()
	if l.closed || l.stop == nil || l.allowed >= 0 {
		closed := l.closed || l.stop == nil
		l.mu.Unlock()
		if closed {
			return h, log.ErrClosed
		}
		return h, log.ErrPaused
	}
	l.allowed = len(l.queue)
	l.mu.Unlock()
	for !l.allDone() {
		select {
		case <-ctx.Done():
			l.Resume()
			return h, ctx.Err()
		case <-time.After(pauseLook):
		}
	}
	select {
	case l.calling <- struct{}{}: // Flush is not under way then
	case <-ctx.Done():
		l.Resume()
		return h, ctx.Err()
	}
	calls := l.number
	<-l.calling
	l.applyMu.Lock()
	l.still = true
	h = l.stand()
	l.applyMu.Unlock()
	h.Calls = calls
	if err := l.Failing(); err != nil || l.suspect.Load() {
		l.Resume()
		return log.Handover{}, errors.Join(log.ErrUnavailable, err)
	}
	return h, nil
}

// allDone reports whether all batches are that do not wait for the end of the pause.
func (l *Log) allDone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allowed == 0 && l.open.Load() == int64(len(l.queue))
}

// Resume implements log.Outgoing.
func (l *Log) Resume() {
	l.mu.Lock()
	l.allowed = -1
	l.mu.Unlock()
	l.applyMu.Lock()
	l.still = false
	l.applyMu.Unlock()
	signal(l.hurry)
	signal(l.room)
}

// Release implements log.Outgoing.
func (l *Log) Release() error {
	l.mu.Lock()
	if l.closed || l.allowed < 0 {
		l.mu.Unlock()
		return log.ErrPaused
	}
	l.closed = true
	waiting := l.queue
	l.queue, l.queued, l.controls = nil, 0, 0
	l.mu.Unlock()
	for _, p := range waiting {
		p.err = log.ErrClosed
	}
	l.done(waiting, l.now())
	l.settle()
	l.stop()
	<-l.stopped
	l.store.Close()
	return nil
}

// Succeed is Open for the successor of the node that h describes. It begins no epoch.
func Succeed(ctx context.Context, s Store, c Config, now func() time.Time, random func() uint64, h log.Handover) (*Log, error) {
	if h.Engine != "distributed" || h.Node == 0 {
		return nil, fmt.Errorf("log: the process before keeps its log in %s, and this one in a store that nodes share: configure the same", h.Engine)
	}
	l := newLog(s, c, now, random)
	l.node = h.Node
	m, ready, err := s.Look(ctx, true)
	if err != nil {
		return nil, err
	}
	if !ready || m.Epoch != h.Epoch {
		return nil, errors.New("log: the store has begun another epoch since the hand-over began: try again")
	}
	l.begins(&m)
	newest := l.headOf(&m)
	l.opened = m
	l.opened.Head = h.Head
	l.head.Store(h.Head)
	l.known.Store(max(h.Head, newest))
	l.noteOldest(&l.opened, now())
	l.seen, l.position = m.Head, Link{Sequence: h.Head}
	if h.Head == newest {
		l.position.Check = m.Check
	}
	l.setCurrent(now())
	l.succeeds = true
	return l, nil
}

// errLoss ends a hand-over during which entries were lost, or removed too early.
var errLoss = errors.New("log: the store has lost or removed entries while another process took the node over: try again")

// Prepare implements log.Incoming.
func (l *Log) Prepare(_ log.Batches, restore func(batch []*log.Entry)) error {
	m := &l.opened
	if l.state != nil {
		if err := l.state.Load(m.State, m.Saved); err != nil {
			return fmt.Errorf("the control state in the store: %w", err)
		}
	}
	m.State = nil
	return l.restore(func(batch []*log.Entry) {
		if len(batch) > 0 {
			restore(batch)
		}
	})
}

// CatchUp implements log.Incoming. What it reads behind the head waits for Begin.
func (l *Log) CatchUp(h log.Handover, _ log.Batches, restore func(batch []*log.Entry)) error {
	if h.Node != l.node || h.Head < l.head.Load() || h.Epoch != l.lineage.Epoch() {
		return errLoss
	}
	l.number = h.Calls
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	for l.head.Load() < h.Head {
		records, err := l.store.Read(ctx, l.position.Sequence, l.most, readWait)
		if err == nil {
			err = ctx.Err() // if the store has nothing more
		}
		if err != nil {
			return fmt.Errorf("%w: %w", log.ErrUnavailable, err)
		}
		l.sizeNext(records)
		for i := range records {
			if !l.next(&records[i]) {
				return errLoss
			}
		}
		n := 0
		for n < len(l.backlog) && l.backlog[n].Sequence <= h.Head {
			if startsLoss(l.backlog[n]) {
				return errLoss
			}
			n++
		}
		if n > 0 {
			restore(l.backlog[:n])
			l.head.Store(l.backlog[n-1].Sequence)
			l.backlog = append([]*log.Entry(nil), l.backlog[n:]...)
		}
		if len(l.backlog) > 0 || l.position.Sequence >= h.Head { // an entry of others, or one that cannot be read, may be the last
			l.head.Store(h.Head)
		}
	}
	return nil
}

func (l *Log) sizeNext(records []Record) {
	if len(records) > 0 {
		l.sizeReads(records)
	}
}

// Begin implements log.Incoming: the node appends, and follows, as after Start.
func (l *Log) Begin(tail log.Tail) error {
	l.mu.Lock()
	if l.closed || !l.succeeds {
		l.mu.Unlock()
		return log.ErrClosed
	}
	l.succeeds = false
	l.mu.Unlock()
	l.useTail(tail)
	l.Run()
	return nil
}
