package loop_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// Connections whose socket stays full go first, those that have been so for longer
// before the others; those that read stay.
func TestStalledConnectionsAreShedTheLongestFirst(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, sendBuffer: 4 << 10})
	stalled := func(s loop.Stats) int { return s.Fanout.Held }
	reader := s.dial()
	reader.sse("a now")
	go func() { // until the end of the test
		b := make([]byte, 64<<10)
		for {
			if _, err := reader.Conn.Read(b); err != nil {
				return
			}
		}
	}()
	fill := func(channel string) {
		t.Helper()
		held := s.sum(stalled)
		s.await("its socket is full", func() bool {
			s.publish(channel, strings.Repeat("x", 30_000))
			return s.sum(stalled) > held
		})
	}
	shed := func(most, want int) {
		t.Helper()
		before := s.stats()[0].Shed
		s.group.ShedStalled(most)
		if got := s.stats()[0].Shed - before; int(got) != want {
			t.Errorf("%d connections were shed, want %d", got, want)
		}
	}
	first := s.dialWith(4 << 10)
	first.sse("a now")
	fill("a")
	shed(10, 0) // it may only just be full
	second := s.dialWith(4 << 10)
	second.sse("b now")
	fill("b")
	shed(1, 1)
	s.awaitConnections(2)
	first.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, first.Conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the one that was stalled first is still there")
	}
	s.publish("b", "for the second, which is there")
	s.group.EndShedding()
	shed(10, 0)
	shed(10, 1)
	shed(10, 0)
	s.awaitConnections(1) // the one that reads
}
