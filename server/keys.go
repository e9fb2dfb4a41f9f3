package server

import (
	"context"
	"fmt"
	"time"

	"peal/loop"
	"peal/server/apikey"
	"peal/server/httpapi"
)

// useKeys replaces the keys of backends. Connections whose key has gone, or allows less,
// have ended when it returns nil; those whose key allows more have that, too. The keys
// themselves are replaced in any case.
func (s *Server) useKeys(ctx context.Context, keys []apikey.Definition) error {
	table := apikey.New(keys, s.backends.Load())
	s.backends.Store(table) // first: a connection that a loop opens from now on has its grant from here
	ended, err := s.endPicked(ctx, func(front *httpapi.Front, session uint64) *loop.Ending { return front.Rekey(session, table) })
	if err != nil {
		return fmt.Errorf("the keys are in use, but connections with former keys were not ended: %w", err)
	}
	if ended > 0 {
		s.config.Log.Info("ended connections whose key was removed or allows less", "connections", ended)
	}
	return nil
}

// endPicked ends the connections for which pick returns an end, and returns their number when they have
// ended.
func (s *Server) endPicked(ctx context.Context, pick func(front *httpapi.Front, session uint64) *loop.Ending) (int, error) {
	done := make(chan int, 1)
	of := func(front loop.Front, session uint64) *loop.Ending { return pick(front.(*httpapi.Front), session) }
	for !s.loops.Dismiss(of, func(ended int) { done <- ended }) { // requests to disconnect are under way
		select {
		case <-time.After(retryDismiss):
		case <-ctx.Done():
			return 0, fmt.Errorf("too many requests to disconnect are in progress: reload again: %w", ctx.Err())
		}
	}
	select {
	case ended := <-done:
		return ended, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("an event loop does not respond: %w", ctx.Err())
	}
}

// retryDismiss is how long useKeys waits for others that end connections.
const retryDismiss = 20 * time.Millisecond
