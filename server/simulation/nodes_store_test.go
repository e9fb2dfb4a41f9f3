package simulation_test

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"peal/server/log"
	"peal/server/log/distributed"
)

// record is an entry that the store has had at some time.
type record struct {
	cursor   log.Cursor
	sequence uint64
	entry    *log.Entry
	lost     bool    // the store has lost it
	seen     []*node // lives that have applied it
}

func (r *record) String() string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("entry %s (%.20q on %q, lost: %v)", r.cursor, r.entry.Data, r.entry.Channel, r.lost)
}

// seenBy is a life that has applied it and goes on, nil if there is none.
func (r *record) seenBy() *node {
	for _, n := range r.seen {
		if !n.dead {
			return n
		}
	}
	return nil
}

// call is one of a node's to the store, on its way there or back.
type call struct {
	of     *link
	name   string
	serve  func() error // what the store does
	served bool         // it has done so
	err    error        // with this result
	sent   time.Time
	given  bool // the node waits no more: it may still be served
	result chan error
}

var errCut = errors.New("the connection was cut")

// do is one call.
func (l *link) do(name string, serve func() error) error {
	if l.n.dead {
		return errCut
	}
	c := &call{of: l, name: name, serve: serve, sent: time.Now(), result: make(chan error, 1)}
	l.n.w.store.calls = append(l.n.w.store.calls, c)
	return <-c.result
}

// serve has the store serve calls, and answers arrive, in any order.
func (s *store) serve(most int) {
	w := s.w
	for range most {
		ready := slices.DeleteFunc(slices.Clone(s.calls), func(c *call) bool { return c.served && c.of.n.isPaused() })
		if len(ready) == 0 || w.failure != "" {
			return
		}
		c := ready[w.rnd.IntN(len(ready))]
		breaks := w.plan.breaks && !w.finishing && w.rnd.IntN(40) == 0
		switch {
		case c.given:
			s.remove(c)
			w.note("%s of %s comes late", c.name, c.of.n)
			_ = c.serve() // nobody hears of it
		case breaks:
			s.cut(c)
		case !c.served:
			c.err = c.serve()
			c.served = true
			w.trace("the store serves %s of %s (error: %v)", c.name, c.of.n, c.err)
			if w.finishing || w.rnd.IntN(3) > 0 {
				s.answer(c, c.err)
			}
		default:
			s.answer(c, c.err)
		}
	}
}

func (s *store) remove(c *call) {
	s.calls = slices.DeleteFunc(s.calls, func(other *call) bool { return other == c })
}

func (s *store) answer(c *call, err error) {
	s.w.trace("%s of %s is answered (error: %v)", c.name, c.of.n, err)
	s.remove(c)
	c.result <- err
	s.w.settle()
}

// cut: the node does not learn what became of a call, which the store may see yet.
func (s *store) cut(c *call) {
	s.w.note("%s of %s is cut off (served: %v)", c.name, c.of.n, c.served)
	s.w.counts[cuts]++
	s.troubles++
	c.of.cuts++
	late := !c.served && s.w.rnd.IntN(2) == 0 && !s.w.finishing
	s.answer(c, errCut)
	if late {
		c.given = true
		s.calls = append(s.calls, c)
	}
}

// expire cuts calls that took longer than a node waits.
func (s *store) expire() {
	for _, c := range slices.Clone(s.calls) {
		if !c.given && !c.of.n.isPaused() && time.Since(c.sent) > distributed.DefaultWait {
			s.cut(c)
		}
	}
}

// newest is the newest entry that it has and that can be read.
func (s *store) newest() uint64 {
	for i := len(s.all) - 1; i >= 0; i-- {
		if !s.all[i].lost {
			return s.all[i].sequence
		}
	}
	return 0
}

// cutAll cuts all calls of a node.
func (s *store) cutAll(n *node) {
	for _, c := range slices.Clone(s.calls) {
		if c.of.n == n && !c.given {
			s.cut(c)
		}
	}
}

// recordOf is the entry that a cursor in its text names, nil if there never was one.
func (s *store) recordOf(text string) *record {
	c, err := log.ParseCursor(text)
	if err != nil {
		return nil
	}
	if r := s.records[c]; r != nil {
		return r
	}
	// Until a node has read that something is lost, it has those messages, and may name them
	// by the epoch that followed.
	for _, r := range s.between(c.Sequence-1, c.Sequence) {
		if r.lost {
			return r
		}
	}
	return nil
}

// between are the records behind a sequence up to another, in order; of the present
// numbering: what was lost with a numbering has another epoch.
func (s *store) between(after, upto uint64) []*record {
	from := sort.Search(len(s.all), func(i int) bool { return s.all[i].sequence > after })
	to := sort.Search(len(s.all), func(i int) bool { return s.all[i].sequence > upto })
	return s.all[from:max(from, to)]
}

// accept notes an entry that the store takes.
func (s *store) accept(epoch log.Epoch, e *log.Entry) {
	r := &record{cursor: log.Cursor{Epoch: epoch, Sequence: e.Sequence}, sequence: e.Sequence, entry: e}
	at := sort.Search(len(s.all), func(i int) bool { return s.all[i].sequence > e.Sequence })
	for _, later := range s.all[at:] { // of a numbering that was lost as a whole
		if !later.lost {
			s.w.fail("the store takes %s behind %s", r, later)
		}
	}
	if old := s.records[r.cursor]; old != nil {
		s.w.fail("%s has the name of %s", r, old)
	}
	if number := numberOf(e.Data); e.Kind == log.KindPublication {
		key := fmt.Sprint(number, " ", e.Channel)
		if old := s.published[key]; old != nil && !old.lost {
			s.w.fail("publication %d is %s, and is %s once more", number, old, r)
		}
		s.published[key] = r
	}
	s.records[r.cursor] = r
	s.all = slices.Insert(s.all, at, r)
}

// judgeEnd: every publication that was answered is there, once, or was lost.
func (s *store) judgeEnd() {
	for _, p := range s.w.publications {
		for _, name := range p.channels {
			if p.acked && s.published[fmt.Sprint(p.number, " ", name)] == nil {
				s.w.fail("publication %d was answered, but is not on %s", p.number, name)
			}
		}
	}
}
