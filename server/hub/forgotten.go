package hub

import "slices"

// forgotten has the records of the forgotten channels of one shard: a hash table
// without pointers, open-addressed with linear probing. A channel that is used again
// keeps its record, so a channel that is forgotten repeatedly has one.
//
// Guarded by the shard.
type forgotten struct {
	records []record // a power of two, nil until a channel is forgotten; doubled up to Hub.records
	count   int      // of the records in use
}

// record is one forgotten channel. discarded is not 0 in a record that is used.
type record struct {
	hash      uint64 // names with equal hashes share the record: with 64 bits that is negligible
	discarded uint64
}

// recordBytes is the size of a record.
const recordBytes = 16

// minRecords is the size of the smallest table, for one shard.
const minRecords = 16

// foldSample is how many records are sampled to choose those that are folded: the
// lowest eighth.
const foldSample = 128

// recordsOf is how many records each of the shards may have: a power of two, 0
// if that would be fewer than minRecords.
func recordsOf(bytes, shards int) int {
	if bytes < minRecords*recordBytes*shards {
		return 0
	}
	n := minRecords
	for 2*n*recordBytes*shards <= bytes {
		n *= 2
	}
	return n
}

// forgottenLocked is the highest sequence that a channel of that hash, which s
// does not have, may have discarded: that of its record, or of the records folded
// into the watermark of its bucket.
func (h *Hub) forgottenLocked(s *shard, hash uint64) uint64 {
	discarded := *h.watermarkLocked(s, hash)
	if len(s.forgotten.records) > 0 {
		discarded = max(discarded, s.forgotten.at(hash).discarded)
	}
	return discarded
}

// forgetLocked records the discarded of a channel of that hash, which s no longer
// has. When the table of s is full it grows, or folds the records with the lowest
// sequences into their watermarks: len(records) steps for each len(records)/16 new
// records at most.
func (h *Hub) forgetLocked(s *shard, hash, discarded uint64) {
	watermark := h.watermarkLocked(s, hash)
	if discarded <= *watermark {
		return
	}
	f := &s.forgotten
	if h.records == 0 {
		*watermark = discarded
		return
	}
	if len(f.records) == 0 {
		f.records = make([]record, minRecords)
	}
	r := f.at(hash)
	if r.discarded == 0 && f.full() {
		if len(f.records) < h.records {
			f.grow()
		} else {
			h.foldLocked(s)
		}
		r = f.at(hash)
	}
	if r.discarded == 0 {
		f.count++
	}
	*r = record{hash, max(r.discarded, discarded)}
}

// foldLocked moves about an eighth of the records of s, those with the lowest
// sequences, into the watermarks of their buckets.
func (h *Hub) foldLocked(s *shard) {
	f := &s.forgotten
	upto := f.low()
	for i := 0; i < len(f.records); {
		r := f.records[i]
		if r.discarded == 0 || r.discarded > upto {
			i++
			continue
		}
		watermark := h.watermarkLocked(s, r.hash)
		*watermark = max(*watermark, r.discarded)
		f.remove(i) // may move another record to i
		h.folded.Add(1)
	}
}

// full reports whether there is no room for another record: an eighth stays
// free, so that probing is short.
func (f *forgotten) full() bool { return f.count >= len(f.records)-len(f.records)/8 }

// home is the index at which the search for a hash begins. The lowest bits are
// those of the shard, the same for all.
func (f *forgotten) home(hash uint64) int { return int(hash>>32) & (len(f.records) - 1) }

// at returns the record of hash, or the free record for it. There must be a table.
func (f *forgotten) at(hash uint64) *record {
	for i := f.home(hash); ; i = (i + 1) & (len(f.records) - 1) {
		if r := &f.records[i]; r.discarded == 0 || r.hash == hash {
			return r
		}
	}
}

func (f *forgotten) grow() {
	grown := forgotten{records: make([]record, 2*len(f.records)), count: f.count}
	for _, r := range f.records {
		if r.discarded != 0 {
			*grown.at(r.hash) = r
		}
	}
	*f = grown
}

// low is a sequence that about one record in eight does not exceed, and at
// least one. Hashes are random, so the records at regular distances are a fair
// sample of the sequences.
func (f *forgotten) low() uint64 {
	var space [foldSample]uint64
	sample := space[:0]
	step := max(1, len(f.records)/foldSample)
	for i := 0; i < len(f.records) && len(sample) < foldSample; i += step {
		if d := f.records[i].discarded; d != 0 {
			sample = append(sample, d)
		}
	}
	slices.Sort(sample)
	return sample[len(sample)/8]
}

// remove frees the i-th record, and fills the hole with records behind it that
// a search would otherwise miss.
func (f *forgotten) remove(i int) {
	mask := len(f.records) - 1
	for next := (i + 1) & mask; f.records[next].discarded != 0; next = (next + 1) & mask {
		home := f.home(f.records[next].hash)
		if (next-home)&mask >= (next-i)&mask { // the search from home to next passes i
			f.records[i] = f.records[next]
			i = next
		}
	}
	f.records[i] = record{}
	f.count--
}
