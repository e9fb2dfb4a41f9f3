package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"peal/loop"
	"peal/server/apikey"
	"peal/server/hub"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/tally"
	"peal/server/upgrade"
)

// What operators see: admin.Source, SIGUSR1, and the welcome. All of it may be called
// by any goroutine.

// Limits are what the server uses of settings whose default depends on the machine.
type Limits struct{ Loops, Connections, Descriptors int }

// Limits are the effective limits of this process.
func (s *Server) Limits() Limits {
	return Limits{s.config.Loop.Loops, s.config.Loop.MaxConnections, loop.DescriptorLimit()}
}

// LogFailing reports whether the log can write nothing at the moment: its disk is
// full or broken. Subscribers stay; publishing is refused.
func (s *Server) LogFailing() bool {
	return s.log.Failing() != nil
}

// LostAccessLines is how many lines of the access log were left out.
func (s *Server) LostAccessLines() uint64 { return s.access.Lost() }

// LostLines is how many lines of the server's own log were lost.
func (s *Server) LostLines() uint64 {
	if s.config.LostLines == nil {
		return 0
	}
	return s.config.LostLines()
}

// LogHead is the sequence of the newest message.
func (s *Server) LogHead() uint64 { return s.log.Head() }

// HubStats tells about channels and history.
func (s *Server) HubStats() hub.Stats { return s.hub.Stats() }

// FrontStats is what was counted about requests, on the loops and beside them.
func (s *Server) FrontStats(ctx context.Context) (tally.Stats, error) {
	ctx, cancel := s.untilLeft(ctx)
	defer cancel()
	each := make([]tally.Stats, len(s.fronts))
	if err := s.loops.Each(ctx, func(i int) { each[i] = s.fronts[i].Stats() }); err != nil {
		return tally.Stats{}, err // a loop may write its own later
	}
	sum := s.workers.Tally().Stats()
	for _, one := range each {
		sum.Add(one)
	}
	return sum, nil
}

// PresenceStats tells about members of channels.
func (s *Server) PresenceStats() presence.Stats { return s.presence.Stats() }

// Bans is how many disconnected clients are kept away, and how many were ever let
// in before their time for the sake of others.
func (s *Server) Bans() (kept int, evicted uint64) { return s.bans.Len(), s.bans.Evicted() }

// Revocations tells about tokens that are revoked.
func (s *Server) Revocations() revoke.Stats { return s.revoked.Stats() }

// RateLimited is how many publications and commands were refused because they came too
// soon, by what has the limit.
func (s *Server) RateLimited() map[string]uint64 { return s.buckets.Stats() }

// IdempotencyKeys is how many keys are remembered, and how many were ever
// forgotten before their window had passed.
func (s *Server) IdempotencyKeys() (remembered int, evicted uint64) {
	return s.keys.Len(), s.keys.Evicted()
}

// KeyUses is how often each key of a backend was used, and when.
func (s *Server) KeyUses() []apikey.Use { return s.backends.Load().Uses() }

// LoopStats asks the loops for their counters.
func (s *Server) LoopStats(ctx context.Context) ([]loop.Stats, error) {
	ctx, cancel := s.untilLeft(ctx)
	defer cancel()
	return s.loops.Stats(ctx)
}

// Ready reports whether new clients are welcome.
func (s *Server) Ready() bool { return !s.draining.Load() }

// DrainLimit is how long the end of the server may take.
func (s *Server) DrainLimit() time.Duration {
	return time.Duration(s.delayNs.Load() + s.drainNs.Load())
}

// StuckLoops returns a function that returns the numbers of the event loops that have
// not turned when ctx ends. One goroutine at a time may call it.
func (s *Server) StuckLoops() func(ctx context.Context) []int { return s.loops.NewWatch().Stuck }

// Stats is the state of the server for an operator.
type Stats struct {
	Epoch    string
	Sequence uint64
	Hub      hub.Stats
	Fronts   tally.Stats
	Loops    []loop.Stats
}

// Stats asks all rooms. It may be called while Run runs.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	loops, err := s.loops.Stats(ctx)
	if err != nil {
		return Stats{}, err
	}
	fronts, err := s.FrontStats(ctx)
	c := s.log.Lineage().Cursor(s.log.Head())
	return Stats{Epoch: c.String(), Sequence: c.Sequence, Hub: s.hub.Stats(), Fronts: fronts, Loops: loops}, err
}

// JSON is the state on one line.
func (s Stats) JSON() string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

var errNothingToRead = errors.New("this server has no configuration to read again")

// Reread implements admin.Source.
func (s *Server) Reread(ctx context.Context) (done string, err error) {
	if s.config.Reread == nil {
		return "", errNothingToRead
	}
	return s.config.Reread(ctx)
}

var errNoSuccessor = errors.New("this server cannot start another process")

// Succeed implements admin.Source.
func (s *Server) Succeed(ctx context.Context, order upgrade.Order) (upgrade.Report, error) {
	if s.config.Succeed == nil {
		return upgrade.Report{}, errNoSuccessor
	}
	return s.config.Succeed(ctx, order)
}
