package loop_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/ring"
)

// chain publishes a message whenever one is encoded, which is when a loop takes
// it: a publisher exactly as fast as the loop.
type chain struct {
	encoder
	on      atomic.Bool
	publish func()
}

func (c *chain) Encode(m *ring.Message, k ring.Encoding) []byte {
	if c.on.Load() {
		c.publish()
	}
	return c.encoder.Encode(m, k)
}

// Publishers that are as fast as the loop must not keep it from reading.
func TestPublishersLeaveTimeForReading(t *testing.T) {
	e := &chain{}
	s := start(t, options{config: loop.Config{Loops: 1}, keep: 10, encoder: e})
	e.publish = func() { s.journal.publish("a", "x") }
	e.on.Store(true)
	defer e.on.Store(false)
	s.dial().sse("a now")
	c := s.dial()
	s.publish("a", "the first")
	for i := range 5 {
		c.send(fmt.Sprintf("echo %d\n", i))
		c.expect(fmt.Sprint(i))
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
