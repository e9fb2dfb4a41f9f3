package hub_test

import (
	"fmt"
	"slices"
	"testing"

	"peal/server/hub"
)

// TestChangedNamesEachChannelOnce: what Changed returns, it has forgotten; presence is not named,
// and without RecordChanges nothing is recorded.
func TestChangedNamesEachChannelOnce(t *testing.T) {
	r := newRig(hub.Config{})
	r.Join("a")
	if got := r.Changed(10); got != nil {
		t.Errorf("recorded without RecordChanges: %v", got)
	}
	r = newRig(hub.Config{})
	r.RecordChanges()
	want := []string{}
	for i := range 100 {
		name := fmt.Sprintf("room-%02d", i)
		want = append(want, name)
		r.Join(name)
		r.Join("$presence:" + name)
	}
	r.Join("room-00")
	r.Leave("room-01")
	got := r.Changed(30)
	if len(got) != 30 {
		t.Errorf("%d names, want 30", len(got))
	}
	got = append(got, r.Changed(1000)...)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := r.Changed(10); got != nil {
		t.Errorf("once more: %v", got)
	}
	for name, want := range map[string]int{"room-00": 2, "room-01": 0, "room-02": 1, "nobody": 0} {
		if got := r.Subscribers(name); got != want {
			t.Errorf("%s has %d subscribers, want %d", name, got, want)
		}
	}
}
