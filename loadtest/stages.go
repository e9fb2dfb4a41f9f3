package loadtest

import "sort"

// Part is what came of one stage of a run.
type Part struct {
	Scheduled uint64 `json:"scheduled"`
	Sent      uint64 `json:"sent"`
	Counts
	Latency *Latency `json:"latency,omitempty"` // nil: nothing was delivered or lost
}

// plan is which messages of a run belong to which stage: the schedule is fixed in
// advance, so their numbers say it, also those of messages that never come.
type plan struct {
	Ends    []uint64 `json:"ends"`    // of each stage: how many messages are due until it is over
	Streams uint64   `json:"streams"` // message i goes to stream i mod Streams
}

// newPlan returns nil where there is a single stage.
func newPlan(p Pacer, streams int) *plan {
	if len(p) < 2 {
		return nil
	}
	sum, plan := uint64(0), plan{Streams: uint64(streams)}
	for _, s := range p {
		length := float64(s.Length)
		n := uint64(max((s.From+s.To)/2*s.Length.Seconds()-2, 0)) // and exactly:
		for s.due(n+1) <= length {
			n++
		}
		sum += n
		plan.Ends = append(plan.Ends, sum)
	}
	return &plan
}

// begin is how many messages are due before stage k.
func (p *plan) begin(k int) uint64 {
	if k == 0 {
		return 0
	}
	return p.Ends[k-1]
}

// cut divides the first n messages into stages.
func (p *plan) cut(n uint64, k int) uint64 { return min(n, p.Ends[k]) - min(n, p.begin(k)) }

// sequences are those of stage k in a stream; the last is below the first where it has none.
func (p *plan) sequences(k, stream int) Span {
	before := func(i uint64) uint64 { return (i + p.Streams - 1 - uint64(stream)) / p.Streams }
	return Span{before(p.begin(k)) + 1, before(p.Ends[k])}
}

// staged is what came in each stage, of a run that has several.
type staged struct {
	plan
	parts  []Part
	newest int // stage of the newest message with an intact stamp
}

// enter notes that a message of the run came, and returns its stage.
func (s *staged) enter(stamp *Stamp) *Part {
	i := (stamp.Sequence-1)*s.Streams + uint64(stamp.Stream)
	s.newest = sort.Search(len(s.Ends)-1, func(k int) bool { return i < s.Ends[k] })
	return &s.parts[s.newest]
}

// damaged counts a damaged message where its stamp was intact in its own stage, and
// otherwise in that of the newest message before it. count is that of all.
func (s *staged) damaged(all *Counts, count *uint64) {
	p := &s.parts[s.newest]
	switch count {
	case &all.Corrupted:
		p.Corrupted++
	case &all.Truncated:
		p.Truncated++
	case &all.Invalid:
		p.Invalid++
	}
}

// take counts a message of the run.
func (s *staged) take(stamp *Stamp, v verdict, now int64) {
	p := s.enter(stamp)
	switch v {
	case duplicate:
		p.Duplicated++
		return
	case reordered:
		p.Reordered++
	}
	p.Delivered++
	p.latency().Record(now - stamp.Scheduled)
}

func (p *Part) latency() *Latency {
	if p.Latency == nil {
		p.Latency = NewLatency()
	}
	return p.Latency
}

// stage divides the run that begins into stages; nil: it has one only.
func (s *sink) stage(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged = nil
	if p != nil {
		s.staged = &staged{plan: *p, parts: make([]Part, len(p.Ends))}
	}
}

// stagesLocked are the parts of a run, with what was lost of each.
func (s *sink) stagesLocked(published []uint64, excused [][]Span) []Part {
	if s.staged == nil {
		return nil
	}
	all := make([]Part, len(s.staged.parts))
	for k := range all {
		p := &all[k]
		p.Counts = s.staged.parts[k].Counts
		others := make([][]Span, len(published)) // of each stream: what is excused, and the other stages
		for stream := range others {
			own := s.staged.sequences(k, stream)
			others[stream] = joined(append([]Span{{0, own.First - 1}, {own.Last + 1, 1 << 62}}, at(excused, stream)...))
		}
		for i := range s.subscribers {
			p.Lost += s.subscribers[i].lost(published, others)
		}
		if p.Expected = p.Delivered + p.Lost; p.Expected > 0 {
			p.Latency = s.staged.parts[k].latency().clone()
			p.Latency.RecordLost(p.Lost)
		}
	}
	return all
}

// addParts adds another worker's parts.
func addParts(into, from []Part) ([]Part, error) {
	if into == nil {
		return from, nil
	}
	for k := range from {
		into[k].Counts.Add(from[k].Counts)
		if from[k].Latency != nil {
			if err := into[k].latency().Merge(from[k].Latency); err != nil {
				return nil, err
			}
		}
	}
	return into, nil
}
