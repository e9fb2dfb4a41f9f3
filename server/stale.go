package server

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/refusal"
)

// progressEvery is how often the server looks how far it has read a log that it shares with
// other nodes.
const progressEvery = 100 * time.Millisecond

// behind is the end of streams of users on a node that may not know of revocations.
var behind = httpapi.NewEnding(refusal.ErrNodeBehind, "this node has lost contact with the log, and may not know of revocations: connect again")

// freshness is a tail without entries of its own. A node that was paused or cut off for longer
// than a lease, and then reads entries that are older than that, first ends the streams of users:
// a revocation may follow the messages that it reads first. Until they have ended it has no
// room.
type freshness struct {
	server *Server
	log    log.Distributed
	signal chan struct{}             // there are streams to end before anything is applied
	state  atomic.Uint32             // of the constants below
	latest atomic.Pointer[time.Time] // log.Progress.Current, when the server last looked; nil before Run
	onRoom func()                    // fixed before the first Room
}

const (
	fresh   uint32 = iota // the node has not been away
	ending                // streams of users must end first
	cleared               // they have ended, and none is accepted
)

// clearLimit is how long a node has no room because the loops have not ended all streams.
const clearLimit = 5 * time.Second

// Room is there unless streams must end first; see log.Tail.
func (f *freshness) Room(int, int) bool {
	if at := f.latest.Load(); at == nil || f.server.now().Sub(*at) <= f.server.config.NodeLease {
		return true // not Progress here: the append lock is held
	}
	f.server.stale.Store(true)
	if f.state.CompareAndSwap(fresh, ending) {
		select {
		case f.signal <- struct{}{}:
		default:
		}
	}
	return f.state.Load() == cleared
}

// OnRoom implements log.Waiting.
func (f *freshness) OnRoom(g func()) { f.onRoom = g }

// Apply does nothing.
func (f *freshness) Apply([]*log.Entry) {}

// Wake does nothing.
func (f *freshness) Wake() {}

// clear ends all streams of users, and makes room.
func (f *freshness) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clearLimit)
	defer cancel()
	done := make(chan struct{})
	for !f.server.endUsers(math.MaxInt, func(int) { close(done) }) && ctx.Err() == nil { // others are ending connections
		time.Sleep(retryDismiss)
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	f.state.CompareAndSwap(ending, cleared)
	if f.onRoom != nil {
		f.onRoom()
	}
}

// watchProgress refuses users while the node may not know of revocations, until ctx
// ends. Their streams stay: nothing comes to them while the log cannot be read, and before the
// node reads on it ends them if it was away (freshness). It has nothing to do where no other
// node appends to the log.
func (s *Server) watchProgress(ctx context.Context) {
	f := s.freshness
	if f == nil {
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	begun := s.now()
	f.latest.Store(&begun)
	for {
		asked := false
		select {
		case <-tick.C:
		case <-f.signal:
			asked = true
		case <-ctx.Done():
			return
		}
		p := f.log.Progress()
		f.latest.Store(&p.Current)
		stale := s.checkProgress(p, s.now())
		switch {
		case stale && asked:
			f.clear(ctx)
		case !stale:
			f.state.Store(fresh)
			if asked && f.onRoom != nil {
				f.onRoom() // the log was away for everybody, and has nothing that is old
			}
		}
	}
}

// now is the time by which the node is stale; tests have their own.
func (s *Server) now() time.Time {
	if s.config.now != nil {
		return s.config.now()
	}
	return time.Now()
}

// checkProgress notes whether the node is stale: it has not known for a lease that it has
// applied everything.
func (s *Server) checkProgress(p log.Progress, now time.Time) (stale bool) {
	age := now.Sub(p.Current)
	stale = age > s.config.NodeLease
	if s.stale.Swap(stale) == stale {
		return stale
	}
	if stale {
		s.config.Log.Warn("this node has lost contact with the log: users with a token are refused until it has caught up", "for", age.Round(time.Millisecond), "lease", s.config.NodeLease, "read", p.Head, "of", p.Known)
	} else {
		s.config.Log.Info("this node has caught up with the log", "sequence", p.Head)
	}
	return stale
}

// endUsers ends streams and polls of users, at most so many. done is called with how
// many there were, unless it returns false.
func (s *Server) endUsers(most int, done func(ended int)) bool {
	var left atomic.Int64
	left.Store(int64(most))
	return s.loops.Dismiss(func(front loop.Front, session uint64) *loop.Ending {
		if !front.(*httpapi.Front).IsUser(session) || left.Add(-1) < 0 {
			return nil
		}
		return behind
	}, done)
}

// Behind is why the node is not to be given clients, as far as the log has the reason; "" if all is well.
func (s *Server) Behind() string {
	l, ok := s.log.(log.Distributed)
	if !ok || !s.stale.Load() {
		return ""
	}
	return behindText(l.Progress(), s.now(), s.config.NodeLease)
}

func behindText(p log.Progress, now time.Time, lease time.Duration) string {
	return fmt.Sprintf("the node is behind: for %s it has not known whether it has read all of the log (node-lease %s); it has read up to sequence %d, and knows of %d", now.Sub(p.Current).Round(100*time.Millisecond), lease, p.Head, p.Known)
}
