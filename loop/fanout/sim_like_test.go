package fanout_test

import (
	"slices"
	"strings"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// Matchers in the simulation: "$like:AB" matches the channels A and B. All that the
// clients know of them is what such a name matches.

const likePrefix = fanout.MatcherPrefix + ":"

type simPattern string // the channels

func (p simPattern) Match(name string) bool {
	return name != lostChannel && strings.Contains(string(p), name)
}

// Prefix and Suffix are those of a matcher of one channel, sometimes.
func (p simPattern) Prefix() string {
	if len(p) == 1 && p[0]%2 == 0 {
		return string(p)
	}
	return ""
}
func (p simPattern) Suffix() string { return "" }
func (p simPattern) Cost() int      { return 50 }

type simPatterns struct{}

func (simPatterns) Pattern(name string) fanout.Pattern {
	if text, ok := strings.CutPrefix(name, likePrefix); ok {
		return simPattern(text)
	}
	return nil
}

// simPast is the history of matchers: of the newest publications, known of them or more
// are known.
type simPast struct {
	*simHistory
	known int
	floor uint64
}

func (h *simPast) forget() {
	if n := int(h.head) - h.known; n > int(h.floor)+h.known/4 {
		h.floor = uint64(n)
	}
}

// stays reports whether m is retained on a channel that matches.
func (h *simHistory) stays(m *ring.Message, match func(string) bool) (retained, matched bool) {
	for _, c := range append([]string{m.Channel}, m.Also...) {
		if match(c) {
			matched = true
			retained = retained || m.Sequence > h.discarded[c]
		}
	}
	return retained, matched
}

func (h *simPast) Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	if after < h.floor {
		discarded = h.floor
	}
	n := 0
	for q := max(after, h.floor) + 1; q <= min(upto, h.head); q++ {
		if looked++; looked > look%7+1 { // little, so that much is read in parts
			return dst, discarded, max(after, q-1), looked
		}
		m := h.all[q-1]
		switch retained, matched := h.stays(m, match); {
		case retained:
			if bytes -= m.Size; n == count || bytes < 0 && n > 0 {
				return dst, discarded, max(after, q-1), looked
			}
			n++
			dst = append(dst, m)
		case matched:
			discarded = max(discarded, q)
		}
	}
	return dst, discarded, max(after, upto), looked
}

func (h *simPast) Before(match func(string) bool, upto uint64, look int) (m *ring.Message, reached uint64, looked int) {
	for q := min(upto, h.head); q > h.floor; q-- {
		if looked == min(look, 6) { // so that it often looks no further
			return nil, q, 1 << 20
		}
		looked++
		if retained, _ := h.stays(h.all[q-1], match); retained {
			return h.all[q-1], 0, looked
		}
	}
	return nil, 0, looked
}

func (h *simPast) Floor() uint64 { return h.floor }

// addLikes adds matchers to what the clients of some seeds subscribe to.
func (s *sim) addLikes() {
	s.past = &simPast{simHistory: s.hist, known: 30 + s.rnd.IntN(400)}
	s.likes = []string{"$like:A", "$like:AB", "$like:ABCDEFGHIJKLM", "$like:BC", "$like:C", "$like:CDE", "$like:F"}
	for i, set := range s.sets {
		if s.rnd.IntN(2) == 0 {
			s.sets[i] = append([]string{s.likes[s.rnd.IntN(len(s.likes))]}, set...)
		}
	}
	s.sets = append(s.sets, []string{"$like:A"}, []string{"$like:AB"}, []string{"$like:AB", "$like:BC"}, []string{"$like:ABCDEFGHIJKLM", "A"}, []string{"$like:CDE", "E"})
	s.fan.UsePatterns(simPatterns{}, s.past)
}

// subscribable is the names of all channels and matchers, sorted.
func (s *sim) subscribable() []string { return slices.Concat(s.likes, s.names) }

// carriers are the channels and matchers of c that m is on.
func (c *simClient) carriers(m *ring.Message) (all []string) {
	for name := range c.channels {
		if isOn(m, name) {
			all = append(all, name)
		}
	}
	return all
}

// isOn reports whether m is on a channel, or on one that the matcher of that name matches.
func isOn(m *ring.Message, name string) bool {
	p, ok := strings.CutPrefix(name, likePrefix)
	on := func(ch string) bool { return ch == name || ok && simPattern(p).Match(ch) }
	return on(m.Channel) || slices.ContainsFunc(m.Also, on)
}

// told reports whether the gap of channel that c was told of excuses that m did not come. A
// matcher has messages in the middle of what is gone: only those that are gone are excused.
func (s *sim) told(c *simClient, channel string, m *ring.Message) bool {
	if m.Sequence > c.lost[channel] {
		return false
	}
	p, ok := strings.CutPrefix(channel, likePrefix)
	if !ok || m.Sequence <= s.past.floor {
		return true
	}
	retained, _ := s.hist.stays(m, simPattern(p).Match)
	return !retained
}

// lacksLike is lacks for a matcher: something that it matches in (from, to] is gone, or is known no more.
func (s *sim) lacksLike(matcher string, from, to uint64) bool {
	if from < s.past.floor && from < to {
		return true
	}
	p := simPattern(strings.TrimPrefix(matcher, likePrefix))
	for q := from + 1; q <= min(to, s.hist.head); q++ {
		if retained, matched := s.hist.stays(s.hist.all[q-1], p.Match); matched && !retained {
			return true
		}
	}
	return false
}

// gone is the highest sequence that a gap of the channel may lead to.
func (s *sim) gone(channel string) uint64 {
	if !strings.HasPrefix(channel, likePrefix) {
		return s.hist.discarded[channel]
	}
	q := s.hist.head
	for q > s.past.floor && !s.lacksLike(channel, q-1, q) {
		q--
	}
	return q
}

// retains reports whether a channel of c retains m, or a matcher of c has it.
func (s *sim) retains(c *simClient, m *ring.Message) bool {
	for _, name := range c.carriers(m) {
		text, ok := strings.CutPrefix(name, likePrefix)
		if !ok && m.Sequence > s.hist.discarded[name] {
			return true
		}
		if retained, _ := s.hist.stays(m, simPattern(text).Match); ok && retained && m.Sequence > s.past.floor {
			return true
		}
	}
	return false
}

// goneBefore is the sequence up to which nothing of the channel is retained, which no gap is due for
// who asks for what is there.
func (s *sim) goneBefore(channel string) uint64 {
	p, ok := strings.CutPrefix(channel, likePrefix)
	if !ok {
		return s.hist.discarded[channel]
	}
	q := s.past.floor
	for q < s.hist.head {
		if retained, _ := s.hist.stays(s.hist.all[q], simPattern(p).Match); retained {
			break
		}
		q++
	}
	return q
}
