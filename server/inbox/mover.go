package inbox

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"peal/server/log"
	"peal/server/names"
	"peal/server/publish"
	"peal/server/refusal"
	"peal/server/rules"
)

// Count is how many entries are moved at a time, and Bytes how many bytes of fields these have at
// most; a larger entry is moved alone.
const (
	Count = 64
	Bytes = 4 << 20
)

// Pauses of Run.
const (
	leaseEvery = time.Second     // while another node moves
	afterFault = time.Second     // the store or the log refuses
	settleFor  = 5 * time.Second // to give the lease back at the end
	reportMost = 10              // refused entries with a line in the log for each reading; all are counted
)

// Appender takes entries: a log.Log. See there.
type Appender interface {
	Append(batch []*log.Entry, done func(error)) error
}

// Config is what a Mover needs. All of it is fixed.
type Config struct {
	From log.Inbox
	To   Appender

	// Check decides whether a backend may publish that. Its arguments are lent.
	Check func(d *publish.Draft, channels []*names.Name) *refusal.Error

	Rules    func() *rules.Table // of the channels; the present ones
	Channels int                 // of one message, at most
	Accept   func(publications int)
	Report   *slog.Logger
}

// Stats are counted since the start of this node.
type Stats struct {
	Moved   uint64 // entries of the inbox that are in the log; one that was there already counts, too
	Refused uint64 // entries that were set aside
	Waiting int    // in the inbox when this node last looked; 0 while another node moves
	Mover   bool   // this node is the one that moves
}

// Mover moves entries.
type Mover struct {
	Config

	// Owned by the goroutine of Run or Step.
	set    names.Set
	faulty bool // a fault was logged, and not its end

	// Shared.
	moved, refused atomic.Uint64
	waiting        atomic.Int64
	mover          atomic.Bool
}

// New returns a Mover.
func New(c Config) *Mover { return &Mover{Config: c} }

// Stats is what was counted. Any goroutine may call it.
func (m *Mover) Stats() Stats {
	return Stats{Moved: m.moved.Load(), Refused: m.refused.Load(), Waiting: int(m.waiting.Load()), Mover: m.mover.Load()}
}

// Run moves until ctx ends.
func (m *Mover) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := time.Duration(0)
		held, err := m.Step(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			pause = afterFault
			if !m.faulty {
				m.Report.Warn("the inbox cannot be moved into the log: trying again every second", "error", err)
			}
			m.faulty = true
		case !held:
			pause = leaseEvery
		default:
			if m.faulty {
				m.Report.Info("the inbox is moved into the log again")
			}
			m.faulty = false
		}
		if pause > 0 {
			rest(ctx, pause)
		}
	}
	if m.mover.Swap(false) {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
		defer cancel()
		m.From.Leave(leaving)
	}
}

func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Step moves what there is, up to Count entries and Bytes, if this node has the lease. After an error the
// entries are where they were, and those that are in the log are found there by their keys the
// next time.
func (m *Mover) Step(ctx context.Context) (held bool, err error) {
	held, err = m.From.Lease(ctx)
	m.mover.Store(held && err == nil)
	if err != nil || !held {
		m.waiting.Store(0)
		return held, err
	}
	list, more, err := m.From.Read(ctx, Count, Bytes)
	if err != nil {
		return true, err
	}
	if more {
		if n, err := m.From.Waiting(ctx); err == nil {
			m.waiting.Store(int64(n))
		}
	} else {
		m.waiting.Store(int64(len(list)))
	}
	if len(list) == 0 {
		return true, nil
	}
	moved, refused, failed := m.move(ctx, list)
	if len(moved)+len(refused) > 0 {
		if err := m.From.Settle(ctx, moved, refused); err != nil {
			return true, errors.Join(failed, err)
		}
		m.count(moved, refused)
		if !more {
			m.waiting.Store(int64(len(list) - len(moved) - len(refused)))
		}
	}
	return true, failed
}

func (m *Mover) count(moved []string, refused []log.Refused) {
	m.moved.Add(uint64(len(moved)))
	m.refused.Add(uint64(len(refused)))
	for i := range refused {
		if i == reportMost {
			m.Report.Warn("further entries of the inbox were refused", "entries", len(refused)-reportMost)
			break
		}
		m.Report.Warn("an entry of the inbox was refused, and is in the stream of refused entries", "id", refused[i].ID, "reason", refused[i].Reason)
	}
}

// move appends the entries in their order, and waits until the log is done with all that
// it took. failed is why the others stay where they are.
func (m *Mover) move(ctx context.Context, list []log.Foreign) (moved []string, refused []log.Refused, failed error) {
	type outcome struct {
		entry *log.Foreign
		err   error
	}
	cache := names.NewCache(m.Rules())
	results := make(chan outcome, len(list)) // done never blocks
	under := 0
	refuse := func(f *log.Foreign, err *refusal.Error) {
		refused = append(refused, log.Refused{Foreign: *f, Reason: err.Code + ": " + err.Message})
	}
	for i := range list {
		f := &list[i]
		m.set.Reset(cache, m.Channels)
		entries, err := m.read(f)
		if err != nil && err.Status < 500 && err.Status != 429 {
			refuse(f, err)
			continue
		}
		if err != nil { // not now: memory
			failed = errors.New(err.Code + ": " + err.Message)
			break
		}
		if failed = m.To.Append(entries, func(err error) { results <- outcome{f, err} }); failed != nil {
			break // those behind it wait, too, or order would break
		}
		under++
		m.Accept(len(entries))
	}
	for range under {
		select {
		case o := <-results:
			switch {
			case o.err == nil:
				moved = append(moved, o.entry.ID)
			case errors.Is(o.err, log.ErrConflict):
				refuse(o.entry, errConflict)
			default:
				failed = o.err
			}
		case <-ctx.Done():
			return moved, refused, ctx.Err()
		}
	}
	return moved, refused, failed
}

var errConflict = &refusal.Error{Code: "idempotency_conflict", Message: "the key was used for another message: use a new key for a new message"}

// read makes entries of the log of f, or says why it cannot be published.
func (m *Mover) read(f *log.Foreign) ([]*log.Entry, *refusal.Error) {
	message, err := parse(f, &m.set)
	if err != nil {
		return nil, err
	}
	if err := m.Check(&message.draft, m.set.List()); err != nil {
		return nil, err
	}
	entries := message.draft.AppendEntries(nil, m.set.List())
	for _, e := range entries {
		e.TTL = message.ttl
	}
	return entries, nil
}
