package hub

import (
	"math"

	"peal/loop/ring"
)

// history has the retained publications of one channel, oldest first: a deque
// in a ring buffer whose capacity is a power of two. Messages are removed at the
// front only, so all that were dropped are older than all that it holds.
//
// A channel has one from its first retained publication until it holds none.
type history struct {
	// Guarded by the shard of channel.
	slots []slot
	first uint32 // index of the oldest in slots
	count uint32
	bytes int // sum of Size

	// Guarded by Hub.order.
	newer, older *history // neighbours in the list of publishing; see order.go
	published    uint64   // Hub.published of its newest message: a lower value was published to earlier
	channel      *channel // fixed, and so is
	hash         uint64   // that of its name
}

// slot is one retained publication.
type slot struct {
	message *ring.Message

	// expires is when this one or any newer one expires, whichever is first, in
	// milliseconds since 1970: only the front is dropped, so this one is dropped
	// then. expires therefore never decreases from slot to slot, even if TTLs do.
	expires int64
}

// at returns the i-th oldest slot.
func (h *history) at(i uint32) *slot {
	return &h.slots[(h.first+i)&uint32(len(h.slots)-1)]
}

// newest returns the sequence of the newest message. There must be one.
func (h *history) newest() uint64 { return h.at(h.count - 1).message.Sequence }

// push adds m as the newest. It walks back over older messages that m forces
// to expire earlier; without TTLs and with a steady clock there are none.
func (h *history) push(m *ring.Message, expires int64) {
	if int(h.count) == len(h.slots) {
		h.resize(max(1, 2*len(h.slots)))
	}
	h.count++
	*h.at(h.count - 1) = slot{m, expires}
	h.bytes += m.Size
	for i := h.count - 1; i > 0 && h.at(i-1).expires > expires; i-- {
		h.at(i - 1).expires = expires
	}
}

// drop removes the oldest message and returns it. There must be one.
func (h *history) drop() *ring.Message {
	s := h.at(0)
	m := s.message
	*s = slot{}
	h.first = (h.first + 1) & uint32(len(h.slots)-1)
	h.count--
	h.bytes -= m.Size
	// A quarter, so that a history at the boundary does not resize again and again.
	if int(h.count) <= len(h.slots)/4 && h.count > 0 {
		h.resize(len(h.slots) / 2)
	}
	return m
}

func (h *history) resize(slots int) {
	resized := make([]slot, slots)
	for i := range h.count {
		resized[i] = *h.at(i)
	}
	h.slots, h.first = resized, 0
}

// after returns how many of the messages have a sequence up to sequence.
func (h *history) after(sequence uint64) uint32 {
	low, high := uint32(0), h.count
	for low < high {
		middle := (low + high) / 2
		if h.at(middle).message.Sequence <= sequence {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// expiry returns when an entry of that time and TTL expires under a limit of
// age, all in milliseconds; ttl ≤ 0 is none.
func expiry(time, ttl, age int64) int64 {
	if ttl > 0 && ttl < age {
		age = ttl
	}
	if time > math.MaxInt64-age {
		return math.MaxInt64
	}
	return time + age
}
