package hub

import (
	"container/heap"
	"runtime"
	"slices"
	"strings"
)

// Info describes one channel at one moment.
type Info struct {
	Name        string
	Subscribers int
	Messages    int    // retained
	Bytes       int    // sum of their sizes
	Oldest      uint64 // sequence of the oldest retained, 0 for none
	Newest      uint64 // sequence of the newest retained, 0 for none
	Discarded   uint64 // highest sequence ever dropped, 0 for none
}

// Stats describes all channels; its parts are from nearly, not exactly, one moment.
type Stats struct {
	Channels    int
	Subscribers int
	Messages    int    // retained; one in several channels counts in each
	Bytes       int    // sum of their sizes; data that messages on several channels share counts once
	Evicted     uint64 // messages ever dropped to keep all histories within the total

	// Forgotten channels whose discarded is recorded exactly, and the number of those
	// that were folded since the start: see Config.ForgottenBytes.
	Forgotten int
	Folded    uint64
}

// MaxInfos is the most channels that one call of Channels returns.
const MaxInfos = 1000

// scanStep is how many channels Channels visits in one lock hold.
const scanStep = 256

// Channel returns the Info of one channel; ok is false if it has neither
// subscribers nor history. Any goroutine may call it.
func (h *Hub) Channel(name string) (info Info, ok bool) {
	now := h.now().UnixMilli()
	hash := h.hash(name)
	s := h.shardOf(hash)
	s.mu.Lock()
	c := s.channels.Get(hash, name)
	if c == nil {
		s.mu.Unlock()
		return Info{}, false
	}
	emptied := h.expireLocked(c, now)
	info = c.infoLocked()
	s.mu.Unlock()
	if emptied {
		h.reap(name)
	}
	return info, info.known()
}

// Channels returns the first channels, at most limit and MaxInfos of them, by
// name in byte order, whose names begin with prefix and come after after. Pass the
// last name as after for the next page; fewer than limit channels are the last page.
// Each Info is from one moment, the page is not; a channel that is added or removed
// meanwhile may be in it or not.
//
// Any goroutine may call it. It visits every channel, so call it on a worker and not
// in a loop; it holds a lock for at most 256 of them.
func (h *Hub) Channels(prefix, after string, limit int) []Info {
	limit = min(limit, MaxInfos)
	if limit <= 0 {
		return nil
	}
	p := page{prefix: prefix, after: after, limit: limit, now: h.now().UnixMilli()}
	for i := range h.shards {
		h.scan(&h.shards[i], &p)
	}
	for _, name := range p.emptied {
		h.reap(name)
	}
	slices.SortFunc(p.infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return p.infos
}

// Stats returns the current numbers. Any goroutine may call it.
func (h *Hub) Stats() Stats {
	st := Stats{Messages: int(h.messages.Load()), Bytes: int(h.bytes.Load()), Evicted: h.evicted.Load(), Folded: h.folded.Load()}
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		st.Channels += s.channels.Len()
		st.Subscribers += s.subscribers
		st.Forgotten += s.forgotten.count
		s.mu.Unlock()
	}
	return st
}

// page collects the first limit channels of those that scan passes to it.
type page struct {
	prefix, after string
	limit         int
	now           int64
	infos         infoHeap
	emptied       []string // channels whose histories expired as a whole
}

// wants reports whether p needs a channel of that name, as far as it knows.
func (p *page) wants(name string) bool {
	return name > p.after && strings.HasPrefix(name, p.prefix) &&
		(len(p.infos) < p.limit || name < p.infos[0].Name)
}

func (p *page) add(info Info) {
	if len(p.infos) == p.limit {
		p.infos[0] = info
		heap.Fix(&p.infos, 0)
		return
	}
	heap.Push(&p.infos, info)
}

// scan passes the channels of s to p. Every scanStep channels it releases the
// lock within the range, which each allows. A channel forgotten in
// between has nothing left, so it is not known.
func (h *Hub) scan(s *shard, p *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	for name, c := range s.each {
		if seen++; seen%scanStep == 0 {
			s.mu.Unlock()
			runtime.Gosched() // so that a ready loop does not wait for the whole listing
			s.mu.Lock()
		}
		if !p.wants(name) || name[0] == '$' { // reserved for the server
			continue
		}
		if h.expireLocked(c, p.now) {
			p.emptied = append(p.emptied, name)
		}
		if info := c.infoLocked(); info.known() {
			p.add(info)
		}
	}
}

// known reports whether the channel has subscribers or messages: otherwise it is
// about to be forgotten.
func (i Info) known() bool { return i.Subscribers > 0 || i.Messages > 0 }

func (c *channel) infoLocked() Info {
	info := Info{Name: c.name(), Subscribers: int(c.subscribers), Discarded: c.discarded}
	if past := c.history; past != nil && past.count > 0 {
		info.Messages = int(past.count)
		info.Bytes = past.bytes
		info.Oldest = past.at(0).message.Sequence
		info.Newest = past.newest()
	}
	return info
}

// infoHeap has the greatest name on top, which is replaced first.
type infoHeap []Info

func (h infoHeap) Len() int           { return len(h) }
func (h infoHeap) Less(i, j int) bool { return h[i].Name > h[j].Name }
func (h infoHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *infoHeap) Push(x any)        { *h = append(*h, x.(Info)) }
func (h *infoHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
