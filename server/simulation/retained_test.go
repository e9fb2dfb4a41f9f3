package simulation_test

import (
	"math"
	"slices"

	"peal/server/log"
	"peal/server/rules"
)

// retained is the oracle's own account of what each channel keeps, from the
// limits as they are documented. A world has expiry or eviction, not both:
// when something expired is let go, which eviction counts on, is the hub's own
// affair.
type retained struct {
	rules    *rules.Table
	total    int
	channels map[string]*shelf
	order    []*shelf // the least recently published first
	floor    uint64   // what is up to here is gone from every channel
	bytes    int

	// Data that entries share is charged while any of them is kept.
	sharers map[*log.Shared]int
}

// shelf is what is kept of one channel.
type shelf struct {
	kept      []kept
	bytes     int
	discarded uint64 // highest sequence ever dropped
}

type kept struct {
	sequence uint64
	size     int
	expires  int64 // milliseconds since 1970
	shared   *log.Shared
	data     int // bytes of size that are shared
}

func newRetained(p *plan, floor uint64) *retained {
	return &retained{rules: p.rules, total: p.hub.TotalBytes, channels: map[string]*shelf{}, floor: floor, sharers: map[*log.Shared]int{}}
}

func (r *retained) shelf(name string) *shelf {
	s := r.channels[name]
	if s == nil {
		s = &shelf{discarded: r.floor}
		r.channels[name] = s
	}
	return s
}

// drop takes the oldest n off s.
func (r *retained) drop(s *shelf, n int) {
	for _, k := range s.kept[:n] {
		s.bytes -= k.size
		r.charge(k, -1)
		s.discarded = k.sequence
	}
	s.kept = s.kept[n:]
}

// loseUpto drops what is up to sequence from all channels.
func (r *retained) loseUpto(sequence uint64) {
	for _, s := range r.order {
		n := 0
		for n < len(s.kept) && s.kept[n].sequence <= sequence {
			n++
		}
		if r.drop(s, n); n > 0 {
			s.discarded = sequence // the log does not know what it has deleted
		}
	}
}

// charge counts k in (1) or out (-1).
func (r *retained) charge(k kept, by int) {
	r.bytes += by * k.size
	if k.shared == nil {
		return
	}
	before := r.sharers[k.shared]
	if before+by > 0 && before > 0 {
		r.bytes -= by * k.data
	}
	if r.sharers[k.shared] += by; before+by == 0 {
		delete(r.sharers, k.shared)
	}
}

// expire takes off what has expired, and whatever is older.
func (r *retained) expire(s *shelf, now int64) {
	for i := len(s.kept) - 1; i >= 0; i-- {
		if s.kept[i].expires <= now {
			r.drop(s, i+1)
			return
		}
	}
}

// append keeps e in its channels.
func (r *retained) append(e *log.Entry, now int64) {
	if e.Kind != log.KindPublication {
		return
	}
	for _, name := range channelsOf(e) {
		rule := r.rules.For(name)
		life := rule.HistoryAge.Milliseconds()
		if e.TTL > 0 {
			life = min(life, e.TTL)
		}
		r.push(r.shelf(name), rule, kept{e.Sequence, e.Size(), e.Time + life, e.Shared, len(e.Data)}, now)
	}
	for r.bytes > r.total {
		i := slices.IndexFunc(r.order, func(s *shelf) bool { return len(s.kept) > 0 })
		r.drop(r.order[i], 1)
	}
}

func (r *retained) push(s *shelf, rule *rules.Rule, k kept, now int64) {
	if rule.HistoryMessages < 0 || k.size > rule.HistoryBytes || k.size > r.total || k.expires <= now {
		r.drop(s, len(s.kept))
		s.discarded = k.sequence
		return
	}
	r.expire(s, now)
	for len(s.kept) > 0 && (len(s.kept) >= rule.HistoryMessages || s.bytes+k.size > rule.HistoryBytes) {
		r.drop(s, 1)
	}
	s.kept = append(s.kept, k)
	s.bytes += k.size
	r.charge(k, 1)
	if i := slices.Index(r.order, s); i >= 0 {
		r.order = slices.Delete(r.order, i, i+1)
	}
	r.order = append(r.order, s)
}

// discarded is the highest sequence of the channel that is gone by now.
func (r *retained) discarded(name string, now int64) uint64 {
	s := r.channels[name]
	if s == nil {
		return r.floor
	}
	r.expire(s, now)
	return s.discarded
}

// newest returns the position after which the newest n that any of the
// channels retains follow; all of them if there are not as many.
func (r *retained) newest(names []string, n int, now int64) (after uint64) {
	var all []uint64
	for _, name := range names {
		if s := r.channels[name]; s != nil {
			r.expire(s, now)
			for _, k := range s.kept {
				all = append(all, k.sequence)
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) <= n {
		return 0
	}
	return all[len(all)-n-1]
}

// channelsOf returns the channels that carry e, once each, in the order of the entry.
func channelsOf(e *log.Entry) []string {
	switch {
	case e.Kind != log.KindPublication:
		return nil
	case len(e.Also) == 0:
		return []string{e.Channel}
	}
	names := make([]string, 0, 1+len(e.Also))
	for _, name := range append([]string{e.Channel}, e.Also...) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// everything is a limit that does not limit.
const everything = math.MaxInt32
