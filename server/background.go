package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// background is something that appends to the log without a request: it stops for a hand-over, because
// then nothing may be appended, and goes on behind one that was not completed.
type background struct {
	run []func(ctx, soft context.Context) // return when ctx ends; when soft ends, they finish what is under way

	mu         sync.Mutex
	leave, end context.CancelFunc // nil: nothing runs
	goroutines sync.WaitGroup
}

// begin runs all of it until stop.
func (b *background) begin(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end != nil {
		return
	}
	hard, end := context.WithCancel(ctx)
	soft, leave := context.WithCancel(hard)
	b.leave, b.end = leave, end
	for _, run := range b.run {
		b.goroutines.Go(func() { run(hard, soft) })
	}
}

// stop ends all of it, and returns when it has. What is under way has until ctx ends.
func (b *background) stop(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == nil {
		return
	}
	b.leave()
	late := context.AfterFunc(ctx, b.end)
	b.goroutines.Wait()
	late()
	b.end()
	b.leave, b.end = nil, nil
}

// openBackground says what there is.
func (s *Server) openBackground() {
	s.background.run = append(s.background.run, s.hooks.RunUntil, func(_, soft context.Context) { s.moveInbox(soft) })
	if s.cluster != nil {
		s.beats.run = append(s.beats.run, func(_, soft context.Context) { s.cluster.Run(soft) })
	}
}

// hold asks the goroutine of Run to do nothing that appends, or to go on.
type hold struct {
	on   bool
	done chan struct{}
}

// holdRun passes one to Run. false: Run has ended, or ctx.
func (s *Server) holdRun(ctx context.Context, on bool) bool {
	h := hold{on, make(chan struct{})}
	select {
	case s.holds <- h:
		<-h.done
		return true
	case <-s.ended:
	case <-ctx.Done():
	}
	return false
}

// finishLimit is how long requests to webhooks may take that are under way when a hand-over begins. One that is
// cut off is repeated by the new process, with the same ID.
const finishLimit = 3 * time.Second

// quieten stops what appends without a request. Heartbeats are the last, because other nodes wait for them.
func (s *Server) quieten(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, finishLimit)
	defer cancel()
	if !s.holdRun(limit, true) {
		return errors.New("the server does not run")
	}
	s.background.stop(limit)
	s.beats.stop(limit)
	return ctx.Err()
}

// unquieten has it go on.
func (s *Server) unquieten() { s.holdRun(context.Background(), false) }
