package loop_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Publishers that are faster than the loop fill the ring; they must not keep it
// from reading.
func TestPublishersLeaveTimeForReading(t *testing.T) {
	s := start(t, options{slots: 1024, sendBuffer: 4 << 10, keep: 100})
	for i := range 600 { // views that each message must be added to
		c := s.dialWith(4 << 10)
		c.sse(fmt.Sprintf("a,x%d now", i))
	}
	stop := make(chan struct{})
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, ok := s.journal.publish("a", "x"); !ok {
					runtime.Gosched()
				}
			}
		})
	}
	defer g.Wait()
	defer close(stop)
	c, d := s.dial(), s.dial()
	for i := range 5 {
		for _, c := range []*client{c, d} { // one on each loop
			c.send(fmt.Sprintf("echo %d\n", i))
			c.expect(fmt.Sprint(i))
		}
	}
}

// Stats of a loop that does not answer in time are nobody's.
func TestStatsOfABusyLoop(t *testing.T) {
	s := start(t, options{})
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-goOn })
	<-held
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	all, err := s.group.Stats(ctx)
	close(goOn)
	s.stats() // the loop has written its own by now
	if err == nil {
		t.Error("no error though a loop did not answer")
	}
	for _, one := range all {
		t.Errorf("has %+v", one)
	}
}
