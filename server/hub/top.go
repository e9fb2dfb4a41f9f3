package hub

import (
	"cmp"
	"container/heap"
	"runtime"
	"slices"
	"strings"
	"time"

	"peal/loop/heavy"
	"peal/server/log"
)

// meter counts publications by channel while somebody asks for those with most. Under
// Hub.order.
type meter struct {
	since time.Time
	until int64 // milliseconds since 1970, after which nobody asks any more
	heavy.Hitters[string]
}

const (
	mostMetered = 1024             // channels that are counted at a time, in about 100 KiB
	meterFor    = 15 * time.Second // how long the hub goes on counting after somebody has asked
)

// Busy is a channel with publications.
type Busy struct {
	Name         string
	Publications uint64
	Bytes        uint64 // of their data
}

// Busiest returns the channels with most publications, by their bytes and number, since the
// last call, at most n of them, and when that was; zero if it was the first in the last 15 seconds,
// for which the hub goes on counting. A publication on several channels counts in each. While nobody asks, a batch of publications
// pays for one comparison.
func (h *Hub) Busiest(n int) (all []Busy, since time.Time) {
	now := h.now()
	next := &meter{since: now, until: now.Add(meterFor).UnixMilli(), Hitters: heavy.Hitters[string]{Most: mostMetered}}
	h.order.Lock()
	m := h.meter
	h.meter = next
	h.order.Unlock()
	if m == nil || m.until < now.UnixMilli() {
		return nil, time.Time{}
	}
	for _, c := range m.Top(n, nil) {
		all = append(all, Busy{c.Key, c.Items, c.Bytes})
	}
	return all, m.since
}

// measure counts the publications of a batch. Under order, and only if there is a meter.
func (h *Hub) measure(batch []*log.Entry, now int64) {
	m := h.meter
	if m.until < now {
		h.meter = nil
		return
	}
	for _, e := range batch {
		if e.Kind != log.KindPublication {
			continue
		}
		m.Add(e.Channel, len(e.Data), strings.Clone)
		for _, name := range e.Also {
			m.Add(name, len(e.Data), strings.Clone)
		}
	}
}

// Largest returns the n channels with most subscribers, the largest first, those of the
// server included. It visits every channel: see Channels. Any goroutine may call it.
func (h *Hub) Largest(n int) []Info {
	if n = min(n, MaxInfos); n <= 0 {
		return nil
	}
	var top sizeHeap
	for i := range h.shards {
		h.largest(&h.shards[i], n, &top)
	}
	slices.SortFunc(top, func(a, b Info) int {
		return cmp.Or(cmp.Compare(b.Subscribers, a.Subscribers), strings.Compare(a.Name, b.Name))
	})
	return top
}

func (h *Hub) largest(s *shard, n int, top *sizeHeap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := 0
	for _, c := range s.each { // see scan
		if seen++; seen%scanStep == 0 {
			s.mu.Unlock()
			runtime.Gosched()
			s.mu.Lock()
		}
		switch {
		case c.subscribers == 0:
		case len(*top) < n:
			heap.Push(top, c.infoLocked())
		case int(c.subscribers) > (*top)[0].Subscribers:
			(*top)[0] = c.infoLocked()
			heap.Fix(top, 0)
		}
	}
}

// sizeHeap has the smallest channel on top, which is replaced first.
type sizeHeap []Info

func (h sizeHeap) Len() int           { return len(h) }
func (h sizeHeap) Less(i, j int) bool { return h[i].Subscribers < h[j].Subscribers }
func (h sizeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *sizeHeap) Push(x any)        { *h = append(*h, x.(Info)) }
func (h *sizeHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
