package webhook

import (
	"context"
	"maps"
	"slices"

	"peal/server/log"
)

// A hand-over to the Hooks of another process. Positions, leases and what was reported are the state, which comes with the
// log. What does not is what only this process has: entries that endpoints still want of a log in memory, dead
// letters in memory, and channels that wait to be reported.
//
// Run must have ended: then no request is on its way, and each batch that was sent has its bounds in the log. The
// successor sends the batch again that was not delivered, with its ID.

// Part is a piece of what Hooks hand over, a value for encoding/gob. Fields may be added.
type Part struct {
	// Of the first part: everything behind Floor and up to Head that an endpoint wants is in Entries of all parts.
	First       bool
	Floor, Head uint64
	Missed      []string // channels without a last event for a new subscriber
	Dropped     uint64   // dead letters for which there was no room

	Entries log.Packed
	Letters []Letter // the oldest first
}

const (
	partEntries = 1024
	partBytes   = 1 << 20 // of letters
)

// HandOver calls give with all of it, in parts, of which there is at least one. It returns the first error of give, or that
// of the dead letters.
func (h *Hooks) HandOver(ctx context.Context, give func(*Part) error) error {
	r := &h.recent
	r.mu.Lock()
	p := &Part{First: true, Floor: r.floor, Head: r.head, Dropped: h.dropped.Load()}
	entries := slices.Clone(r.entries)
	r.mu.Unlock()
	h.missed.mu.Lock()
	p.Missed = slices.Sorted(maps.Keys(h.missed.names))
	h.missed.mu.Unlock()
	if h.reader != nil {
		entries = nil // the successor reads the log
	}
	if err := give(p); err != nil {
		return err
	}
	for step := range slices.Chunk(entries, partEntries) {
		if err := give(&Part{Entries: log.Pack(step)}); err != nil {
			return err
		}
	}
	return h.handLetters(ctx, give)
}

// handLetters hands the dead letters over that end with the process.
func (h *Hooks) handLetters(ctx context.Context, give func(*Part) error) error {
	m, ok := h.config.Dead.(*Memory)
	if !ok {
		return nil
	}
	all, err := m.List(ctx)
	if err != nil {
		return err
	}
	p, bytes := &Part{}, 0
	for i := range all {
		l := all[i]
		if l.Body, err = m.Body(ctx, l.Webhook, l.ID); err != nil {
			return err
		}
		p.Letters = append(p.Letters, l)
		if bytes += len(l.Body); bytes >= partBytes {
			if err := give(p); err != nil {
				return err
			}
			p, bytes = &Part{}, 0
		}
	}
	if len(p.Letters) == 0 {
		return nil
	}
	return give(p)
}

// Import takes a part of the Hooks of another process: before Begin and Run.
func (h *Hooks) Import(ctx context.Context, p *Part) error {
	entries, err := p.Entries.Unpack()
	if err != nil {
		return err
	}
	r := &h.recent
	r.mu.Lock()
	if p.First && h.reader == nil {
		r.entries, r.bytes = nil, 0
		r.floor, r.head, r.known = p.Floor, p.Head, true
	}
	for _, e := range entries {
		r.entries = append(r.entries, e)
		r.bytes += e.Size()
	}
	r.limitLocked()
	r.mu.Unlock()
	if p.First {
		h.dropped.Store(p.Dropped)
		for _, channel := range p.Missed {
			h.Missed(channel)
		}
	}
	for _, l := range p.Letters {
		dropped, err := h.config.Dead.Put(ctx, l)
		if err != nil {
			return err
		}
		h.dropped.Add(uint64(dropped))
	}
	return nil
}
