package server

import (
	"errors"
	"iter"

	"peal/server/log"
)

// entryStream passes entries on to an engine that asks for them.
type entryStream struct {
	batches chan []*log.Entry
	err     error // valid when batches is closed
}

func (s *entryStream) all() log.Batches {
	return log.Batches(iter.Seq2[[]*log.Entry, error](func(yield func([]*log.Entry, error) bool) {
		stopped := false
		for b := range s.batches {
			if !stopped { // else the rest is drained, so that the sender does not wait
				stopped = !yield(b, nil)
			}
		}
		if s.err != nil && !stopped {
			yield(nil, s.err)
		}
	}))
}

// beginEntries has restore take the entries that come until finishEntries, if it has not begun.
func (t *taking) beginEntries() error {
	if t.entries != nil {
		return nil
	}
	f := t.restore
	if f == nil {
		return errors.New("entries came at the wrong time")
	}
	t.restore, t.entries, t.restored = nil, &entryStream{batches: make(chan []*log.Entry)}, make(chan error, 1)
	stream, done := t.entries, t.restored
	go func() { // ends with the stream
		err := f(stream.all())
		for range stream.batches {
		}
		done <- err
	}()
	return nil
}

// endEntries ends the stream, which may have none, and returns what restore did.
func (t *taking) endEntries() error {
	if err := t.beginEntries(); err != nil {
		return err
	}
	return t.finishEntries(nil)
}

// finishEntries ends the stream if there is one, and returns what restore did.
func (t *taking) finishEntries(err error) error {
	if t.entries == nil {
		return nil
	}
	t.entries.err = err
	close(t.entries.batches)
	t.entries = nil
	return <-t.restored
}
