package log_test

import (
	"slices"
	"testing"

	"peal/server/log"
)

// recordingTail writes down what it is asked and given.
type recordingTail struct {
	name string
	full bool
	all  *[]string
}

func (r recordingTail) Room(int, int) bool {
	*r.all = append(*r.all, r.name+" room")
	return !r.full
}
func (r recordingTail) Apply([]*log.Entry) { *r.all = append(*r.all, r.name+" apply") }
func (r recordingTail) Wake()              { *r.all = append(*r.all, r.name+" wake") }

func TestTailsFeedAllInOrderAndAnyMayRefuse(t *testing.T) {
	for _, full := range []bool{false, true} {
		var calls []string
		both := log.Tails{recordingTail{"a", full, &calls}, recordingTail{"b", false, &calls}}
		if got := both.Room(1, 1); got == full {
			t.Errorf("a is full: %v, room: %v", full, got)
		}
		both.Apply(nil)
		both.Wake()
		want := []string{"a room", "b room", "a apply", "b apply", "a wake", "b wake"}
		if full {
			want = slices.Delete(want, 1, 2)
		}
		if !slices.Equal(calls, want) {
			t.Errorf("%q, want %q", calls, want)
		}
	}
}
