package hub

import "unsafe"

// BucketCount is the number of watermarks of New.
const BucketCount = bucketCount

// Bucket is the place of a channel's watermark: names with equal buckets collide.
func (h *Hub) Bucket(name string) uint64 { return h.hash(name) & h.bucketMask }

// RecordBytes is the size of the record of a forgotten channel, MinRecords how
// many the smallest table of a shard has.
const (
	RecordBytes = recordBytes
	MinRecords  = minRecords
	ShardCount  = shardCount
)

// SweepChannels is the most channels of one Sweep.
const SweepChannels = sweepChannels

// Sizes of what a channel and a history occupy beyond maps and slots.
const (
	ChannelBytes = unsafe.Sizeof(channel{})
	HistoryBytes = unsafe.Sizeof(history{})
)

// Slots is the capacity of a channel's history, 0 if it has none.
func (h *Hub) Slots(name string) int {
	hash := h.hash(name)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels.Get(hash, name); c != nil && c.history != nil {
		return len(c.history.slots)
	}
	return 0
}

// Runs is how many channels have a run of dropped messages that leave out one session.
func (h *Hub) Runs() (n int) {
	for i := range h.shards {
		h.shards[i].mu.Lock()
		n += len(h.shards[i].runs)
		h.shards[i].mu.Unlock()
	}
	return n
}

// LeastPublications is how many publications the journal has at least.
const LeastPublications = leastPublications

// MeterFor is how long the busiest channels are counted after a question.
const MeterFor = meterFor

// Metering is whether they are counted.
func (h *Hub) Metering() bool { return h.meter != nil }
