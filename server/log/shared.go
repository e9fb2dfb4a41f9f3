package log

import "sync/atomic"

// Shared is data that several entries of one batch have in common: a message that
// was published on several channels is an entry on each of them. The limits
// count the data once, and an engine stores it once.
//
// The entries that share data follow one another in their batch and have the
// same Data slice.
type Shared struct {
	// First is the sequence of the entry that carries the data. Number sets it;
	// it is fixed from then on.
	First uint64

	// Shared. Histories that hold one of the entries; the history of each channel
	// counts itself in and out.
	holders atomic.Int32
}

// Hold counts one holder in, and reports whether it is the only one.
func (s *Shared) Hold() (alone bool) { return s.holders.Add(1) == 1 }

// Release counts one holder out, and reports whether it was the last.
func (s *Shared) Release() (last bool) { return s.holders.Add(-1) == 0 }

// Share makes the entries of one message, all with the same Data, share it. One
// entry shares with nobody.
func Share(entries []*Entry) {
	if len(entries) < 2 {
		return
	}
	s := &Shared{}
	for _, e := range entries {
		e.Shared = s
	}
}

// refers reports whether the data of e is stored with an entry before it.
func (e *Entry) refers() bool { return e.Shared != nil && e.Shared.First != e.Sequence }

// Saved is the part of Size that an earlier entry of the batch is charged with
// already: the data that e shares. e must have its number.
func (e *Entry) Saved() int {
	if !e.refers() {
		return 0
	}
	return len(e.Data)
}

// Charge is what a batch is charged with: the sizes of its entries, data that
// they share once. The batch need not have its numbers yet.
func Charge(batch []*Entry) (bytes int) {
	var s *Shared
	for _, e := range batch {
		bytes += e.Size()
		if e.Shared != nil && e.Shared == s {
			bytes -= len(e.Data)
		}
		s = e.Shared
	}
	return bytes
}

// Number gives the entries of a batch their sequences, the first of them first,
// and the time now, in milliseconds since 1970, where they have none.
func Number(batch []*Entry, first uint64, now int64) {
	var s *Shared
	for i, e := range batch {
		e.Sequence = first + uint64(i)
		if e.Time == 0 {
			e.Time = now
		}
		if e.Shared != nil && e.Shared != s {
			e.Shared.First = e.Sequence
		}
		s = e.Shared
	}
}

// Refers reports whether e was read without its data, which an entry before it
// carries; Take brings it.
func (e *Entry) Refers() bool { return e.refers() && e.Data == nil }

// Take gives e the data that from carries, if it is the entry that e refers to.
func (e *Entry) Take(from *Entry) (ok bool) {
	if from == nil || from.Shared == nil || from.Sequence != e.Shared.First {
		return false
	}
	e.Data, e.Shared = from.Data, from.Shared
	return true
}
