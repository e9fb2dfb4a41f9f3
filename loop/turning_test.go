package loop_test

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestWatchFindsALoopThatIsBlocked(t *testing.T) {
	s := start(t, options{})
	w := s.group.NewWatch()
	if stuck := w.Stuck(testContext()); len(stuck) > 0 {
		t.Fatalf("loops %v are stuck, and nothing blocks them", stuck)
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	s.group.PostTo(1, func() { close(blocked); <-release })
	<-blocked
	for range 3 {
		if stuck := w.Stuck(shortContext(20 * time.Millisecond)); !slices.Contains(stuck, 1) {
			t.Errorf("loops %v are stuck, want 1", stuck)
		}
	}
	close(release)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if stuck := w.Stuck(ctx); len(stuck) > 0 {
		t.Errorf("loops %v are stuck, and nothing blocks them any more", stuck)
	}
}
