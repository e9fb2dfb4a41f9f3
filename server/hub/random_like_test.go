package hub_test

import (
	"fmt"
	"slices"

	"peal/loop/ring"
	"peal/server/hub"
)

// matcher is one for some of the names, and what it matches.
func (s *schedule) matcher() (match func(string) bool, names []string) {
	for _, name := range s.names {
		if s.random.IntN(2) == 0 {
			names = append(names, name)
		}
	}
	return func(name string) bool { return slices.Contains(names, name) }, names
}

// since compares the history of a matcher with the model, and with all that was published.
func (s *schedule) since() error {
	match, names := s.matcher()
	after, upto, count := s.random.Uint64N(s.head+3), s.head, int(all)
	if s.random.IntN(3) == 0 {
		upto, count = s.head-min(s.head, s.random.Uint64N(20)), s.random.IntN(10)
	}
	msgs, discarded, covered, _ := s.system.Since(nil, match, after, upto, count, all, all)
	want, wantDiscarded, wantCovered := s.model.since(match, after, upto, count)
	got := list(msgs)
	what := fmt.Sprintf("since %d to %d of %v, count %d", after, upto, names, count)
	if !slices.Equal(got, want) || discarded != wantDiscarded || covered != wantCovered {
		return fmt.Errorf("%s: got %v, discarded %d, covered %d; want %v, discarded %d, covered %d", what, got, discarded, covered, want, wantDiscarded, wantCovered)
	}
	for _, name := range names {
		for _, sequence := range s.truth[name] {
			if after < sequence && sequence <= min(covered, upto) && sequence > discarded && !slices.Contains(got, sequence) {
				return fmt.Errorf("%s: %d on %s is missing without a gap (discarded %d, covered %d)", what, sequence, name, discarded, covered)
			}
		}
	}
	return s.last(match, what)
}

// last looks for the newest message of a matcher.
func (s *schedule) last(match func(string) bool, what string) error {
	m, reached, _ := s.system.Before(match, s.head, all)
	got := uint64(0)
	if m != nil {
		got = m.Sequence
	}
	if want := s.model.before(match); got != want || reached != 0 {
		return fmt.Errorf("%s: the newest is %d, want %d; reached %d", what, got, want, reached)
	}
	return nil
}

// The planted bugs of matchers.

// hiddenGap keeps silent about what is gone.
type hiddenGap struct{ *hub.Hub }

func (b hiddenGap) Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) ([]*ring.Message, uint64, uint64, int) {
	msgs, _, covered, looked := b.Hub.Since(dst, match, after, upto, count, bytes, look)
	return msgs, 0, covered, looked
}

// oneChannelMissed does not find one of the channels that match.
type oneChannelMissed struct{ *hub.Hub }

func (b oneChannelMissed) Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) ([]*ring.Message, uint64, uint64, int) {
	return b.Hub.Since(dst, func(name string) bool { return name != "channel-2" && match(name) }, after, upto, count, bytes, look)
}

// twice has a message once for each of its channels that match.
type twice struct{ *hub.Hub }

func (b twice) Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) ([]*ring.Message, uint64, uint64, int) {
	msgs, discarded, covered, looked := b.Hub.Since(dst, match, after, upto, count, bytes, look)
	for i := len(msgs) - 1; i >= 0; i-- {
		for _, name := range msgs[i].Also {
			if name != msgs[i].Channel && match(name) && match(msgs[i].Channel) {
				msgs = slices.Insert(msgs, i, msgs[i])
			}
		}
	}
	return msgs, discarded, covered, looked
}
