package webhook

import (
	"slices"
	"sync"

	"peal/server/log"
)

// recent has the newest entries that any endpoint wants, so that deliverers that keep up do not
// read the log, and one over a log in memory has something to read.
type recent struct {
	limit int // bytes

	mu      sync.Mutex
	entries []*log.Entry // by sequence
	bytes   int
	floor   uint64 // everything behind it that is wanted is in entries
	head    uint64 // up to which entries were applied
	known   bool   // what is restored: floor and head are meant
	begun   bool   // see begin
}

// add takes the next entries, of which wanted are kept.
func (r *recent) add(batch []*log.Entry, wanted func(*log.Entry) bool) (some bool) {
	if len(batch) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var keep []*log.Entry
	for _, e := range batch {
		if wanted(e) {
			keep = append(keep, e)
		}
	}
	if !r.known {
		r.known, r.floor = true, max(r.floor, batch[0].Sequence-1) // what was before is restored
	}
	r.head = batch[len(batch)-1].Sequence
	for _, e := range keep {
		r.entries = append(r.entries, e)
		r.bytes += e.Size()
	}
	r.limitLocked()
	return len(keep) > 0
}

// limitLocked drops the oldest entries for which there is no room.
func (r *recent) limitLocked() {
	drop := 0
	for drop < len(r.entries) && r.bytes > r.limit {
		r.bytes -= r.entries[drop].Size()
		r.floor = r.entries[drop].Sequence
		drop++
	}
	if drop > 0 {
		r.entries = slices.Delete(r.entries, 0, drop)
	}
}

// read returns wanted entries behind after, and the position up to which there are no others;
// ok is false if after is before the floor.
func (r *recent) read(after uint64, count, bytes int) (entries []*log.Entry, upto, floor uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after < r.floor {
		return nil, after, r.floor, false
	}
	at, _ := slices.BinarySearchFunc(r.entries, after+1, func(e *log.Entry, sequence uint64) int {
		if e.Sequence < sequence {
			return -1
		}
		return 1
	})
	for n := 0; at < len(r.entries); at++ {
		e := r.entries[at]
		if n += e.Size(); len(entries) > 0 && (n > bytes || len(entries) == count) {
			return entries, entries[len(entries)-1].Sequence, r.floor, true
		}
		entries = append(entries, e)
	}
	return entries, max(r.head, after), r.floor, true
}

// trim forgets what all endpoints have.
func (r *recent) trim(upto uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	drop := 0
	for drop < len(r.entries) && r.entries[drop].Sequence <= upto {
		r.bytes -= r.entries[drop].Size()
		r.floor = r.entries[drop].Sequence
		drop++
	}
	if drop > 0 {
		r.entries = slices.Delete(r.entries, 0, drop)
	}
}

// begin says what the log has restored; something may have been added since.
func (r *recent) begin(head uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known {
		r.floor, r.head = max(r.floor, head), max(r.head, head)
	}
	r.known, r.begun = true, true
}

// lose forgets what is up to a sequence, because it may lack some.
func (r *recent) lose(upto uint64) {
	r.trim(upto)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor, r.head = max(r.floor, upto), max(r.head, upto)
}
