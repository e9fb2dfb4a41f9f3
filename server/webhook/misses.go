package webhook

import (
	"slices"
	"sync"

	"peal/server/log"
)

// missed are the channels whose subscribers missed a last event, until the next tick of Run.
type missed struct {
	mu    sync.Mutex
	names map[string]struct{}
}

// mostMisses is how many channels wait for the next tick, which come in entries of so many bytes of names.
const (
	mostMisses = 1000
	missBytes  = 32 << 10
)

// Missed says that a channel with a cache had no event for a new subscriber. Any goroutine may call it: it locks
// for as long as a map takes. Several of one channel between two ticks, of a tenth of a second, are one event; those
// for which there is no room are counted as not reported.
func (h *Hooks) Missed(channel string) {
	wanted := slices.ContainsFunc(h.endpoints(), func(p *endpoint) bool {
		_, ok := p.channel(channel)
		return ok && p.events[CacheMiss]
	})
	if !wanted {
		return
	}
	m := &h.missed
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.names[channel]; ok {
		return
	}
	if len(m.names) >= mostMisses {
		h.look.untracked.Add(1)
		return
	}
	if m.names == nil {
		m.names = map[string]struct{}{}
	}
	m.names[channel] = struct{}{}
}

// flushMisses appends what was missed since the last tick.
func (h *Hooks) flushMisses() {
	m := &h.missed
	m.mu.Lock()
	names := m.names
	m.names = nil
	m.mu.Unlock()
	var all []string
	bytes := 0
	flush := func() {
		if len(all) == 0 {
			return
		}
		report := func(err error) {
			if err != nil {
				h.config.Report.Warn("cache_miss events for webhooks are lost: they cannot be stored in the log", "error", err)
			}
		}
		report(h.config.Log.Append([]*log.Entry{entry(eventMisses, misses{all})}, report))
		all, bytes = nil, 0
	}
	for name := range names {
		all = append(all, name)
		if bytes += len(name); bytes >= missBytes {
			flush()
		}
	}
	flush()
}
