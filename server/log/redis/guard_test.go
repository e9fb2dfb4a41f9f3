package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log"
	"peal/server/log/distributed"
)

// On Redis 6.2 the script may be on a server on which no epoch has begun: the run_id tells.
// Here an older run_id stands for the other server.
func TestTheGuardOfOlderServers(t *testing.T) {
	server := redisd.For(t, redisd.Options{})
	s, err := open(server.URL(), Config{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.setScript(true)
	ctx := context.Background()
	if _, ready, err := s.Look(ctx, false); ready || err != nil {
		t.Fatalf("an empty store is ready: %t, %v", ready, err)
	}
	m, err := s.Begin(ctx, distributed.Begin{Next: 1, Check: 1})
	if err != nil {
		t.Fatal(err)
	}
	call := func(number uint64) error {
		_, err := s.Append(ctx, &distributed.Call{Node: 7, Number: number, Epoch: m.Epoch, Batch: [][]distributed.Item{{{Check: 5, Entry: log.AppendEntry(nil, &log.Entry{Channel: "a"})}}}})
		return err
	}
	if err := call(1); err != nil {
		t.Fatal(err)
	}
	if _, ready, err := s.Look(ctx, false); !ready || err != nil {
		t.Fatalf("it is not ready: %t, %v", ready, err)
	}
	if _, err := server.Do(ctx, "HSET", s.keys.meta, "run", "0123"); err != nil {
		t.Fatal(err)
	}
	if err := call(2); !errors.Is(err, distributed.ErrMoved) {
		t.Errorf("appended on another server: %v", err)
	}
	if _, ready, err := s.Look(ctx, false); ready || err != nil {
		t.Errorf("another server is ready: %t, %v", ready, err)
	}
	if m, err = s.Begin(ctx, distributed.Begin{Known: m.Epoch, Common: 1, Seen: 1, Next: 2, Check: 3}); err != nil || m.Epoch != 2 {
		t.Fatalf("epoch %d, %v", m.Epoch, err)
	}
	if err := call(2); err != nil {
		t.Error(err)
	}
}

// The whole engine with the guard.
func TestAnEngineWithTheGuard(t *testing.T) {
	server := redisd.For(t, redisd.Options{})
	s, err := open(server.URL(), Config{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	s.setScript(true)
	inner, err := distributed.Open(context.Background(), s, distributed.Config{}, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{Log: inner, collections: &collections{}}
	if err := l.Start(log.Tails{}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	first := l.Lineage().Cursor(0)
	last := &log.Entry{}
	for range 3 {
		last = &log.Entry{Channel: "a"}
		if err := l.Append([]*log.Entry{last}, func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if l.Head() != last.Sequence || l.Lineage().Cursor(l.Head()).Epoch != first.Epoch {
		t.Errorf("head %d, the last one is %d; epochs %v", l.Head(), last.Sequence, l.Lineage().Predecessors())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A checkpoint counts only in the epoch of its sequence.
func TestACheckpointOfAnotherEpoch(t *testing.T) {
	server := redisd.For(t, redisd.Options{})
	s, err := open(server.URL(), Config{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.setScript(true)
	ctx := t.Context()
	if _, _, err := s.Look(ctx, false); err != nil {
		t.Fatal(err)
	}
	m, err := s.Begin(ctx, distributed.Begin{Next: 1, Check: 1})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Checkpoint(ctx, m.Epoch+1, 500, 1, []byte("of another epoch"), 10); ok || !errors.Is(err, distributed.ErrMoved) {
		t.Errorf("%t, %v", ok, err)
	}
	if ok, err := s.Checkpoint(ctx, m.Epoch, 5, 2, nil, 10); ok || err != nil {
		t.Errorf("the state did not come: %t, %v", ok, err)
	}
	if ok, err := s.Checkpoint(ctx, m.Epoch, 5, 2, []byte("of this one"), 10); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if m, _, err = s.Look(ctx, true); err != nil || m.Saved != 5 || string(m.State) != "of this one" {
		t.Errorf("%q is kept as of %d, %v", m.State, m.Saved, err)
	}
}
