package loadtest

import "sync"

// progressWindow is how many messages beyond the last complete one a closed
// loop may have under way.
const progressWindow = 4096

// subscriber is what the sink knows of one connection.
type subscriber struct {
	first  uint32  // its first stream
	tracks []track // one per stream, from first on
}

// A sink takes what the connections of one fleet receive. Its lock is taken
// per message by gws connections and per batch of events by the epoll kind.
type sink struct {
	mu sync.Mutex

	// Under mu.
	subscribers []subscriber
	run         uint16 // messages of another run are foreign
	counts      Counts
	traffic     Traffic
	latency     *Latency
	closed      int // connections that ended since they were opened

	progress bool
	arrived  []uint32 // ring: receivers that have message i, at i % progressWindow
	have     uint64   // messages 0…have−1 are with all receivers

	target uint64        // Delivered that completes the run; 0: not known yet
	done   chan struct{} // closed when it is reached

	// moved gets a signal when have changed; capacity 1.
	moved chan struct{}
}

func newSink(spec *Spec) *sink {
	per := spec.streams()
	tracks := make([]track, per*spec.Connections)
	s := &sink{
		subscribers: make([]subscriber, spec.Connections),
		latency:     NewLatency(),
		arrived:     make([]uint32, progressWindow),
		done:        make(chan struct{}),
		moved:       make(chan struct{}, 1),
	}
	for i := range s.subscribers {
		s.subscribers[i] = subscriber{uint32(spec.firstStream(i)), tracks[i*per : (i+1)*per : (i+1)*per]}
	}
	return s
}

// begin forgets everything counted and starts run. With progress, have follows
// a closed loop that sends message i to stream i % S of subscribers that all
// have the same S streams.
func (s *sink) begin(run uint16, progress bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.progress = run, progress
	s.counts, s.traffic, s.have, s.target = Counts{}, Traffic{}, 0, 0
	s.latency.Reset()
	s.done = make(chan struct{})
	clear(s.arrived)
	for i := range s.subscribers {
		clear(s.subscribers[i].tracks)
	}
}

// takeLocked counts one message that a subscriber received at now.
func (s *sink) takeLocked(sub *subscriber, message []byte, now int64) {
	stamp, ok := ParseStamp(message)
	index := stamp.Stream - sub.first // wraps round, and is then too big, below first
	if !ok || stamp.Run != s.run || index >= uint32(len(sub.tracks)) || stamp.Sequence == 0 {
		s.counts.Foreign++
		return
	}
	switch sub.tracks[index].take(stamp.Sequence) {
	case duplicate:
		s.counts.Duplicated++
		return
	case reordered:
		s.counts.Reordered++
	}
	s.counts.Delivered++
	s.latency.Record(now - stamp.Scheduled)
	if s.progress {
		s.advanceLocked((stamp.Sequence-1)*uint64(len(sub.tracks)) + uint64(index))
	}
	if s.counts.Delivered == s.target {
		close(s.done)
	}
}

func (s *sink) advanceLocked(message uint64) {
	if message < s.have || message >= s.have+progressWindow {
		return
	}
	s.arrived[message%progressWindow]++
	all := uint32(len(s.subscribers))
	if message != s.have || s.arrived[message%progressWindow] < all {
		return
	}
	for s.arrived[s.have%progressWindow] == all {
		s.arrived[s.have%progressWindow] = 0
		s.have++
	}
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// expect tells the sink how many messages each stream had and returns a signal
// that is closed once all have come.
func (s *sink) expect(published []uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Expected = 0
	for i := range s.subscribers {
		sub := &s.subscribers[i]
		for k := range sub.tracks {
			s.counts.Expected += at(published, int(sub.first)+k)
		}
	}
	if s.counts.Delivered >= s.counts.Expected {
		done := make(chan struct{})
		close(done)
		return done
	}
	s.target = s.counts.Expected
	return s.done
}

// report returns the counts of the run for the given published messages.
func (s *sink) report(published []uint64) (Counts, Traffic, *Latency, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts, latency := s.counts, NewLatency()
	counts.Lost = 0
	for i := range s.subscribers {
		sub := &s.subscribers[i]
		for k := range sub.tracks {
			counts.Lost += sub.tracks[k].lost(at(published, int(sub.first)+k))
		}
	}
	_ = latency.Merge(s.latency) // same geometry: nothing can be out of range
	latency.RecordLost(counts.Lost)
	return counts, s.traffic, latency, s.closed
}

// at is published[i], and 0 for a stream nobody published to.
func at(published []uint64, i int) uint64 {
	if i < len(published) {
		return published[i]
	}
	return 0
}
