package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestDroppedSubscribersComeBackWithTheirCursor drops everybody in mid-run on a
// server that keeps all messages: nothing may be lost or repeated.
func TestDroppedSubscribersComeBackWithTheirCursor(t *testing.T) {
	for _, transport := range []Transport{SSE, Poll} {
		t.Run("transport="+string(transport), func(t *testing.T) {
			const connections = 20
			_, addr := newBoard(t)
			pool, opened, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: addr}, Transport: transport, Connections: connections, Channels: 1, Cursor: "0", Resume: true})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if err := opened.Err(); err != nil || opened.Handshake.Count() != connections {
				t.Fatalf("%v, %d handshakes", err, opened.Handshake.Count())
			}
			publisher, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: PublishPath("c")})
			if err != nil {
				t.Fatal(err)
			}
			defer publisher.Close()
			samples := 0
			r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(200), Length: time.Second, Settle: 10 * time.Second,
				Every: 50 * time.Millisecond, Sampled: func(Sample) { samples++ },
				After: 300 * time.Millisecond, During: func(ctx context.Context) error { return pool.Drop(ctx, 100*time.Millisecond) }})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Clean() || !r.Complete || r.Delivered != connections*r.Published || samples == 0 {
				t.Errorf("%d published, %+v, %d samples", r.Published, r.Counts, samples)
			}
			if r.Recovery.Count() != connections || r.Unrecovered != 0 || r.Recovery.Quantile(0) < 100*time.Millisecond {
				t.Errorf("%d recovered, %d not, the first within %v", r.Recovery.Count(), r.Unrecovered, r.Recovery.Quantile(0))
			}
			back, err := pool.Back(t.Context(), 10*time.Second)
			if err != nil || back.Connections != connections || back.Failed != 0 {
				t.Errorf("back: %+v, %v", back, err)
			}
		})
	}
}

func TestOpenRateOpensOnASchedule(t *testing.T) {
	_, addr := newBoard(t)
	pool, opened, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: 20, OpenRate: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	// The last is due after 190 ms.
	if err := opened.Err(); err != nil || opened.Took < 190*time.Millisecond {
		t.Errorf("%v, took %v, want 190 ms at least", err, opened.Took)
	}
}

func TestLatencySinceIsTheDifference(t *testing.T) {
	all, late := NewLatency(), NewLatency()
	for i := range int64(1000) {
		all.Record(i * 1e6)
	}
	before := all.clone()
	for i := range int64(500) {
		all.Record(i * 3e6)
		late.Record(i * 3e6)
	}
	if !all.Since(before).h.Equals(late.h) {
		t.Error("the difference is not what was recorded since")
	}
}

func TestOpenLoopEndsWhenItIsStopped(t *testing.T) {
	_, addr := newBoard(t)
	pool, _, err := OpenPool(t.Context(), Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: 2, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	publisher, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: PublishPath("c")})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	stop := make(chan struct{})
	r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(100), Length: time.Hour, Stop: stop, Every: 20 * time.Millisecond,
		Sampled: func(s Sample) {
			if s.Sent >= 5 && stop != nil {
				close(stop)
				stop = nil
			}
		}})
	if err != nil || r.Published < 5 || r.Scheduled != r.Published || !r.Clean() {
		t.Errorf("%v: %d published of %d scheduled, %+v", err, r.Published, r.Scheduled, r.Counts)
	}
}
