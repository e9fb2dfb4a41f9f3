package distributed_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"peal/server/log"
	"peal/server/log/distributed"
)

// shelf is a Store in memory, with the faults of one.
type shelf struct {
	mu      sync.Mutex
	meta    distributed.Meta
	records []distributed.Record
	ready   bool
	last    map[uint64]*distributed.Call // of each node
	results map[uint64][]distributed.Result
	keys    map[string]key

	gone      bool              // nothing can be reached
	forgetful int               // answers that are lost
	passing   int               // entries that are removed behind the next look
	happens   map[string]func() // behind the next look or back, once
	refuses   bool
	refusal   error // that it has then; nil for ErrRefused
	calls     int
	looks     int
}

type key struct {
	sequence uint64
	digest   string
}

// happen has something happen behind a call.
func (s *shelf) happen(call string) {
	if f := s.happens[call]; f != nil {
		delete(s.happens, call)
		f()
	}
}

var errGone = errors.New("connection refused")

func (s *shelf) enter() error {
	s.mu.Lock()
	s.calls++
	if s.gone {
		return errGone
	}
	return nil
}

func (s *shelf) Look(context.Context, bool) (m distributed.Meta, ready bool, err error) {
	defer s.happen("look")
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return m, false, err
	}
	s.looks++
	m = s.lookLocked()
	s.records, s.passing = s.records[min(s.passing, len(s.records)):], 0
	return m, s.ready && s.meta.Format > 0, nil
}

func (s *shelf) lookLocked() distributed.Meta {
	m := s.meta
	m.Predecessors = slices.Clone(m.Predecessors)
	m.Oldest = m.Head + 1
	if n := len(s.records); n > 0 {
		m.Oldest, m.Newest = s.records[0].Sequence, s.records[n-1].Link
	}
	return m
}

func (s *shelf) Begin(_ context.Context, b distributed.Begin) (m distributed.Meta, err error) {
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return m, err
	}
	if s.meta.Epoch == b.Known {
		began := max(s.meta.Head, b.Seen)
		if kept := min(s.meta.Head, b.Common); s.meta.Format > 0 {
			for i := range s.meta.Predecessors {
				p := &s.meta.Predecessors[i]
				p.Last = min(p.Last, kept)
			}
			s.meta.Predecessors = append(s.meta.Predecessors, log.Predecessor{Epoch: b.Known, Last: kept})
		}
		began += b.Jump
		if s.meta.Format == 0 {
			s.meta.Check = b.Check
		}
		s.meta.Format, s.meta.Epoch, s.meta.Began, s.meta.Head = distributed.FormatVersion, b.Next, began, began
		if b.First {
			s.meta.Origin = began
		}
		s.ready = true
	}
	if !s.ready {
		return m, distributed.ErrMoved
	}
	return s.lookLocked(), nil
}

func (s *shelf) Append(_ context.Context, c *distributed.Call) (results []distributed.Result, err error) {
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	if before := s.last[c.Node]; before != nil && before.Number == c.Number {
		return s.results[c.Node], nil
	}
	switch {
	case s.refuses && s.refusal != nil:
		return nil, s.refusal
	case s.refuses:
		return nil, distributed.ErrRefused
	case !s.ready, s.meta.Epoch != c.Epoch, s.meta.Head < c.Seen:
		return nil, distributed.ErrMoved
	}
	check := s.meta.Check
	for _, batch := range c.Batch {
		r := distributed.Result{Sequences: make([]uint64, len(batch)), Old: make([]bool, len(batch))}
		for _, item := range batch {
			known, ok := s.keys[item.Key]
			r.Conflict = r.Conflict || item.Key != "" && ok && known.digest != item.Digest
		}
		for i, item := range batch {
			if r.Conflict {
				break
			}
			if known, ok := s.keys[item.Key]; ok && item.Key != "" {
				r.Sequences[i], r.Old[i] = known.sequence, true
				continue
			}
			s.meta.Head++
			r.Sequences[i] = s.meta.Head
			s.records = append(s.records, distributed.Record{Link: distributed.Link{Sequence: s.meta.Head, Check: item.Check}, Before: check, Entry: slices.Clone(item.Entry)})
			check = item.Check
			if item.Key != "" {
				s.keys[item.Key] = key{s.meta.Head, item.Digest}
			}
			s.meta.Check = check
		}
		results = append(results, r)
	}
	if s.last == nil {
		s.last, s.results = map[uint64]*distributed.Call{}, map[uint64][]distributed.Result{}
	}
	s.last[c.Node], s.results[c.Node] = &distributed.Call{Number: c.Number}, results
	if s.forgetful > 0 {
		s.forgetful--
		return nil, errGone
	}
	return results, nil
}

func (s *shelf) Read(ctx context.Context, after uint64, most int, wait time.Duration) (records []distributed.Record, err error) {
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		err = s.enter()
		i, _ := slices.BinarySearchFunc(s.records, after+1, bySequence)
		if err == nil {
			records = slices.Clone(s.records[i:min(len(s.records), i+most)])
		}
		s.mu.Unlock()
		if err != nil || len(records) > 0 || !time.Now().Before(end) || ctx.Err() != nil {
			return records, err
		}
	}
}

func (s *shelf) Back(_ context.Context, upto uint64, most int) (records []distributed.Record, err error) {
	defer s.happen("back")
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	i, _ := slices.BinarySearchFunc(s.records, upto+1, bySequence)
	records = slices.Clone(s.records[max(0, i-most):i])
	slices.Reverse(records)
	return records, nil
}

func (s *shelf) Checkpoint(_ context.Context, epoch log.Epoch, upto, digest uint64, state []byte, retain int) (bool, error) {
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return false, err
	}
	if epoch != s.meta.Epoch {
		return false, distributed.ErrMoved
	}
	if s.meta.Saved < upto {
		if state == nil && s.meta.Digest != digest {
			return false, nil
		}
		if state != nil {
			s.meta.State, s.meta.Digest = slices.Clone(state), digest
		}
		s.meta.Saved = upto
	}
	if over := len(s.records) - retain; over > 0 {
		s.records = s.records[over:]
	}
	return true, nil
}

func (s *shelf) Reconnects() uint64 { return 0 }
func (s *shelf) Close()             {}

func bySequence(r distributed.Record, sequence uint64) int {
	switch {
	case r.Sequence < sequence:
		return -1
	case r.Sequence > sequence:
		return 1
	}
	return 0
}

// restart is what a kill does: the last n entries are lost.
func (s *shelf) restart(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = false
	s.records = s.records[:max(0, len(s.records)-n)]
	if n := len(s.records); n > 0 {
		s.meta.Check = s.records[n-1].Check
	}
	if s.meta.Head = s.meta.Began; len(s.records) > 0 {
		s.meta.Head = max(s.meta.Head, s.records[len(s.records)-1].Sequence)
	}
}

// replace is what FLUSHALL does.
func (s *shelf) replace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.records, s.meta, s.keys, s.last = false, nil, distributed.Meta{}, map[string]key{}, nil
}

const everything = math.MaxInt
