package distributed

import (
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// mostStrangers is how many epochs are remembered that cursors have named and the node does
// not know. Beyond it the node forgets them all: their clients come back once more.
const mostStrangers = 256

// strangers are such epochs: one may have begun a moment ago. The store is looked at once
// more before a cursor of it is a gap.
type strangers struct {
	wanted atomic.Bool // the store is to be looked at

	mu     sync.Mutex
	asked  map[log.Epoch]time.Time // first
	looked time.Time               // when the newest look began that found nothing new
}

// unheardOf reports whether the store was not looked at since a cursor of that epoch came
// for the first time. Then that is done soon.
func (l *Log) unheardOf(epoch log.Epoch) bool {
	s := &l.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.asked[epoch]
	if ok && s.looked.After(first) {
		return false
	}
	if !ok {
		if s.asked == nil || len(s.asked) >= mostStrangers {
			s.asked = map[log.Epoch]time.Time{}
		}
		s.asked[epoch] = l.now()
	}
	s.wanted.Store(true)
	return true
}

// lookedAt notes a look at the store that began then, and found the epoch that the node knows.
func (s *strangers) lookedAt(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = began
}
