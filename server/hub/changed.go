package hub

import (
	"runtime"
	"strings"

	"peal/server/log"
)

// matcherPrefix begins the names of matchers: fanout.MatcherPrefix.
const matcherPrefix = "$like"

// RecordChanges has the hub record for Changed which channels have got or lost subscribers.
// Any goroutine may call it; again changes nothing.
func (h *Hub) RecordChanges() {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		if s.changed == nil {
			s.changed = map[string]struct{}{}
		}
		s.mu.Unlock()
	}
}

// Changed returns, and forgets, at most most of the channels whose subscribers have changed since
// it returned them last, without those of presence and matchers. It locks a shard for as long as it takes to
// copy their names. Any goroutine may call it.
func (h *Hub) Changed(most int) (names []string) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for name := range s.changed {
			if len(names) == most {
				break
			}
			delete(s.changed, name)
			if !strings.HasPrefix(name, log.PresencePrefix) && !strings.HasPrefix(name, matcherPrefix) {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	return names
}

// Subscribers is how many subscribers channel has. Any goroutine may call it.
func (h *Hub) Subscribers(channel string) int {
	hash := h.hash(channel)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels.Get(hash, channel); c != nil {
		return int(c.subscribers)
	}
	return 0
}

// EachSubscribed calls f for each channel that has subscribers, but for those of presence. It locks a
// shard for at most 256 channels at a time; f must be quick. Any goroutine may call it.
func (h *Hub) EachSubscribed(f func(channel string)) {
	for i := range h.shards {
		s := &h.shards[i]
		seen := 0
		s.mu.Lock()
		for name, c := range s.each {
			if seen++; seen%scanStep == 0 {
				s.mu.Unlock()
				runtime.Gosched()
				s.mu.Lock()
			}
			if c.subscribers > 0 && !strings.HasPrefix(name, log.PresencePrefix) {
				f(name)
			}
		}
		s.mu.Unlock()
	}
}
