package distributed

import (
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

const (
	// mostStrangers is how many epochs are remembered that cursors have named and the node does
	// not know, for strangerAge each. Anybody can make some up.
	mostStrangers = 1024
	strangerAge   = time.Minute

	// askedEvery is how often the store is looked at for them, at most.
	askedEvery = 100 * time.Millisecond
)

// strangers are such epochs: one may have begun a moment ago. The store is looked at once
// more before a cursor of it is a gap.
//
// Cursors that are made up must not keep others away: epochs that have no room, because others
// were asked for first, are no stranger if the store was looked at a moment ago. A client then has a
// gap, although it may have been on a node that began the epoch in that moment.
type strangers struct {
	wanted atomic.Bool // the store is to be looked at

	mu     sync.Mutex
	asked  map[log.Epoch]time.Time // first
	looked time.Time               // when the newest look began that found nothing new
	swept  time.Time
}

// unheardOf reports whether the store was not looked at since a cursor of that epoch came
// for the first time. Then that is done soon.
func (l *Log) unheardOf(epoch log.Epoch) bool {
	now := l.now()
	s := &l.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.asked[epoch]
	switch {
	case ok && s.looked.After(first):
		return false
	case ok:
	case s.roomLocked(now):
		s.asked[epoch] = now
	case now.Sub(s.looked) < lookEvery:
		return false
	}
	s.wanted.Store(true)
	return true
}

// roomLocked reports whether another epoch can be remembered.
func (s *strangers) roomLocked(now time.Time) bool {
	if s.asked == nil {
		s.asked = map[log.Epoch]time.Time{}
	}
	if len(s.asked) >= mostStrangers && now.Sub(s.swept) >= lookEvery {
		s.swept = now
		for epoch, first := range s.asked {
			if now.Sub(first) >= strangerAge {
				delete(s.asked, epoch)
			}
		}
	}
	return len(s.asked) < mostStrangers
}

// lookedAt notes a look at the store that began then, and found the epoch that the node knows.
func (s *strangers) lookedAt(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = began
}
