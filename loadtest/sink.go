package loadtest

import (
	"bytes"
	"cmp"
	"fmt"
	"sync"
	"unicode"
	"unicode/utf8"
)

// progressWindow is how many messages beyond the last complete one a closed
// loop may have under way.
const progressWindow = 4096

// subscriber is what the sink knows of one connection.
type subscriber struct {
	first  uint32  // its first stream
	unread bool    // what its server sent could not be read: nothing is concluded of it
	tracks []track // one per stream, from first on

	// After a drop, until it has recovered: when it was dropped, when it had
	// subscribed again, and when it received its newest message after that. 0: not.
	dropped, back, newest int64
}

// A sink takes what the connections of one fleet receive. Its lock is taken per
// batch of events.
type sink struct {
	mu sync.Mutex

	// Under mu.
	subscribers []subscriber
	run         uint16  // messages of another run are foreign
	size        int     // of the run's messages; 0: not known
	staged      *staged // what came in each stage; nil: the run has one only
	counts      Counts
	damage      string // what was wrong with the first damaged message
	stranger    string // the first foreign message, quoted, no more than its beginning
	frames      byte   // the opcode of the server's data frames, as of the first; 0: none yet
	traffic     Traffic
	latency     *Latency
	waits       *Latency // see heartbeat: one for each delivery
	recovery    *Latency // of those that were dropped and have recovered; nil: no drop
	returned    *Latency // with a Backoff: from the end of each connection until the client was back
	open        int      // connections that are subscribed now
	closed      int      // connections that ended since they were opened
	renewed     int      // connections in place of one that the server ended between two requests
	gaps        uint64   // notices of one, in this run
	unreadable  int      // connections whose server could not be read, since they were opened
	unread      string   // why, of the first of them
	ends        []End    // of connections, since they were opened, and of those that did not open

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
		returned:    NewLatency(),
		waits:       NewLatency(),
		arrived:     make([]uint32, progressWindow),
		done:        make(chan struct{}),
		moved:       make(chan struct{}, 1),
	}
	for i := range s.subscribers {
		s.subscribers[i] = subscriber{first: uint32(spec.firstStream(i)), tracks: tracks[i*per : (i+1)*per : (i+1)*per]}
	}
	return s
}

// begin forgets everything counted and starts run, of messages of size bytes, 0 if
// that is not known. With progress, have follows a closed loop that sends message i to
// stream i % S of subscribers that all have the same S streams.
func (s *sink) begin(run uint16, size int, progress bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.size, s.progress, s.damage, s.stranger = run, size, progress, "", ""
	s.counts, s.traffic, s.have, s.target, s.gaps = Counts{}, Traffic{}, 0, 0, 0
	s.latency.Reset()
	s.waits.Reset()
	s.done = make(chan struct{})
	clear(s.arrived)
	s.recovery = nil
	s.returned.Reset()
	for i := range s.subscribers {
		sub := &s.subscribers[i]
		clear(sub.tracks)
		sub.dropped, sub.back, sub.newest = 0, 0, 0
	}
}

// form is what a message came in.
type form uint8

const (
	octets  form = iota // may be anything: a binary frame, the body of a response
	text                // must be UTF-8: a text frame, an event
	aString             // of JSON: must be UTF-8 without control characters
)

// takeLocked counts one message that a subscriber received at now.
func (s *sink) takeLocked(sub *subscriber, message []byte, now int64, came form) {
	if !s.deliveredLocked(sub, message, now) {
		s.strangeLocked(message, came)
	}
}

// deliveredLocked counts a message if it is one of those that sub is to have, and whole.
func (s *sink) deliveredLocked(sub *subscriber, message []byte, now int64) bool {
	stamp, ok := ParseStamp(message)
	index := stamp.Stream - sub.first // wraps round, and is then too big, below first
	if !ok || stamp.Run != s.run || index >= uint32(len(sub.tracks)) || stamp.Sequence == 0 {
		if ok {
			s.foreignLocked(message)
		}
		return ok
	}
	if s.size > 0 && len(message) != s.size || !padded(message) {
		return false
	}
	verdict := sub.tracks[index].take(stamp.Sequence)
	if s.staged != nil {
		s.staged.take(&stamp, verdict, now)
	}
	switch verdict {
	case duplicate:
		s.counts.Duplicated++
		return true
	case reordered:
		s.counts.Reordered++
	}
	s.counts.Delivered++
	s.latency.Record(now - stamp.Scheduled)
	if sub.dropped != 0 {
		s.recoverLocked(sub, stamp.Scheduled, now)
	}
	if s.progress {
		s.advanceLocked((stamp.Sequence-1)*uint64(len(sub.tracks)) + uint64(index))
	}
	if s.counts.Delivered == s.target {
		close(s.done)
	}
	return true
}

// strangeLocked counts a message without a whole stamp, or with other bytes behind it.
// One that begins like those of the run, or is as long, was one of them.
func (s *sink) strangeLocked(message []byte, came form) {
	begin := appendHex([]byte{'L'}, uint64(s.run), 4)
	if stamp, ok := ParseStamp(message); ok && s.staged != nil {
		s.staged.enter(&stamp)
	}
	switch {
	case came >= text && !utf8.Valid(message):
		s.damagedLocked(&s.counts.Invalid, "text that is not UTF-8: %.100q", message)
	case came == aString && bytes.ContainsFunc(message, unicode.IsControl):
		s.damagedLocked(&s.counts.Invalid, "a control character in a string of JSON: %.100q", message)
	case !bytes.HasPrefix(message, begin) && (len(message) != s.size || s.size == 0):
		s.foreignLocked(message)
	case len(message) < StampBytes || s.size > 0 && len(message) != s.size:
		s.damagedLocked(&s.counts.Truncated, "%d bytes instead of %d: %.100q", len(message), max(s.size, StampBytes), message)
	default:
		s.damagedLocked(&s.counts.Corrupted, "other bytes than were sent: %.100q", message)
	}
}

// foreignLocked counts a message that is not one of the run's, and keeps the first.
func (s *sink) foreignLocked(message []byte) {
	if s.counts.Foreign++; s.stranger == "" {
		s.stranger = fmt.Sprintf("%q", message[:min(len(message), 200)])
	}
}

// damagedLocked counts a damaged message, and keeps what was wrong with the first.
func (s *sink) damagedLocked(count *uint64, format string, args ...any) {
	if *count++; s.damage == "" {
		s.damage = fmt.Sprintf(format, args...)
	}
	if s.staged != nil {
		s.staged.damaged(&s.counts, count)
	}
}

// ended notes an end.
func (s *sink) ended(e End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = AddEnd(s.ends, e)
}

// closeFrameLocked returns the error that a close frame is. It counts a frame that must
// not be sent as invalid, and one that is not the last.
func (s *sink) closeFrameLocked(payload []byte, more bool) error {
	fault, reason := closeFrame(payload)
	if fault == "" && more {
		fault = "data after a close frame (RFC 6455 §5.5.1)"
	}
	if fault != "" {
		s.damagedLocked(&s.counts.Invalid, "%s", fault)
	}
	return reason
}

// typedLocked reports whether a message's frame has the opcode of all others: a server
// that changes between text and binary frames changes what an application receives.
func (s *sink) typedLocked(opcode byte) bool {
	s.frames = cmp.Or(s.frames, opcode)
	if opcode != s.frames {
		s.damagedLocked(&s.counts.Invalid, "a message in a frame of opcode %d, after others of opcode %d", opcode, s.frames)
	}
	return opcode == s.frames
}

// unreadLocked notes that a subscriber's server cannot be read. sub is nil for one of
// whom nothing is expected.
func (s *sink) unreadLocked(sub *subscriber, err error) {
	if sub != nil && sub.unread {
		return // it came back, and again
	}
	if sub != nil {
		sub.unread = true
	}
	s.unreadable++
	s.unread = cmp.Or(s.unread, err.Error())
}

// droppedLocked starts a client's recovery, if it is not recovering already.
func (s *sink) droppedLocked(sub *subscriber, now int64) {
	if s.recovery == nil {
		s.recovery = NewLatency()
	}
	if sub.dropped == 0 {
		sub.dropped = now
	}
	sub.back, sub.newest = 0, 0
}

// backLocked notes that a client has subscribed, perhaps again: by itself, or after a drop.
func (s *sink) backLocked(sub *subscriber, now int64, itself bool) {
	if sub.dropped == 0 {
		return
	}
	if sub.back = now; itself {
		s.returned.Record(now - sub.dropped)
	}
}

// recoverLocked ends sub's recovery if the message was published after sub was
// back: messages come in order, so it has everything before it.
func (s *sink) recoverLocked(sub *subscriber, scheduled, now int64) {
	if sub.back != 0 && scheduled >= sub.back {
		s.recovery.Record(now - sub.dropped)
		sub.dropped, sub.back, sub.newest = 0, 0, 0
		return
	}
	sub.newest = now
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

// lacks reports whether a subscriber lacks a message that is not excused.
func (s *sink) lacks(published []uint64, excused [][]Span) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subscribers {
		if s.subscribers[i].lost(published, excused) > 0 {
			return true
		}
	}
	return false
}

// late is how many messages of those published have not come to the subscribers that
// were not dropped, or have recovered since.
func (s *sink) late(published []uint64) (n uint64) {
	later := make([][]Span, len(published)) // what was published since
	for stream := range later {
		later[stream] = []Span{{published[stream] + 1, 1 << 62}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subscribers {
		if sub := &s.subscribers[i]; sub.dropped == 0 {
			n += sub.lost(published, later)
		}
	}
	return n
}

// lost is how many messages never came that are not excused.
func (sub *subscriber) lost(published []uint64, excused [][]Span) (n uint64) {
	if sub.unread {
		return 0
	}
	for k := range sub.tracks {
		stream := int(sub.first) + k
		n += sub.tracks[k].lostBut(at(published, stream), at(excused, stream))
	}
	return n
}

// report returns what came of the given published messages. Those that are
// excused are expected only of subscribers that have them.
func (s *sink) report(published []uint64, excused [][]Span) Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sampleLocked()
	r.Waits = s.waits.clone()
	if s.recovery != nil {
		r.Recovery = s.recovery.clone()
	}
	for i := range s.subscribers {
		sub := &s.subscribers[i]
		lost := sub.lost(published, excused)
		r.Lost += lost
		switch {
		case sub.dropped == 0:
		case sub.back != 0 && lost == 0: // nothing more was published for it to show that
			r.Recovery.Record(max(sub.back, sub.newest) - sub.dropped)
		default:
			r.Unrecovered++
		}
	}
	if excused != nil || s.unreadable > 0 {
		r.Expected = r.Delivered + r.Lost
	}
	r.Latency.RecordLost(r.Lost)
	r.Stages = s.stagesLocked(published, excused)
	if r.Recovery != nil {
		r.Recovery.RecordLost(uint64(r.Unrecovered))
	}
	return r
}

// sample returns what came so far. What is still to come is not lost yet.
func (s *sink) sample() Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sampleLocked()
}

func (s *sink) sampleLocked() Received {
	r := Received{Counts: s.counts, Traffic: s.traffic, Latency: s.latency.clone(), Open: s.open, Closed: s.closed, Renewed: s.renewed, Gaps: s.gaps, Unreadable: s.unreadable, Unread: s.unread, Damage: s.damage, Ends: s.ends, Stranger: s.stranger}
	if s.returned.Count() > 0 {
		r.Returned = s.returned.clone()
	}
	return r
}

// at is all[i], and zero for a stream without publications.
func at[T any](all []T, i int) (v T) {
	if i < len(all) {
		v = all[i]
	}
	return v
}
