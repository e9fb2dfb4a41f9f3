package fanout_test

import (
	"slices"
	"strings"
	"testing"
)

// Names of any length are found again, in views of one channel and of several, and forgotten
// with their last member. Beyond 2,047 bytes the channel keeps them elsewhere.
func TestNamesOfAnyLength(t *testing.T) {
	var all []string
	for i, n := range []int{0, 1, 200, 2047, 2048, 5000, 70_000} {
		all = append(all, strings.Repeat(string(rune('a'+i)), n))
	}
	slices.Sort(all)
	s := newScene(t, 10, all...)
	for _, name := range all {
		sets := [][]string{{name}, all, {name}, all}
		if name != "" {
			two := []string{"", name}
			sets = append(sets, two, two)
		}
		var slots []uint32
		for _, set := range sets {
			slot := s.subscribe(false, set...)
			slots = append(slots, slot)
			if got := s.fan.Channels(nil, slot); !slices.Equal(got, set) {
				t.Fatalf("a member of %d channels, one of them of %d bytes, has %d others", len(set), len(name), len(got))
			}
		}
		before := s.fan.Stats().Deliveries
		s.publish(len(all)) // one on each channel
		want := uint64(2 + 2*len(all))
		if name != "" {
			want += 2 * 2
		}
		if got := s.fan.Stats().Deliveries - before; got != want {
			t.Errorf("name of %d bytes: %d deliveries, want %d", len(name), got, want)
		}
		for _, slot := range slots {
			s.fan.Detach(slot)
		}
		if n := s.fan.Channeled(); n != 0 {
			t.Errorf("name of %d bytes: %d channels are left", len(name), n)
		}
	}
}
