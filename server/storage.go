package server

import (
	"context"
	"log/slog"
	"time"

	"peal/server/control"
	"peal/server/engine"
	"peal/server/log"
)

// startLog makes the log feed the hub and control. It brings the entries along that
// it has kept, for these and for the idempotency keys, which takes as long as it takes
// to read them.
func (s *Server) startLog(orders *control.Control) error {
	began, l := time.Now(), s.log
	l.Keep(states{orders, s.hooks, &s.protection})
	s.hub.Begin(l.Oldest(), l.Head())
	s.starting.known.Store(retained(l))
	tails, restore := s.tails(orders)
	s.hub.OnLose(func(uint64, uint64) { s.loops.Look() }) // streams on silent channels receive their gap, too
	if err := l.Start(tails, restore); err != nil {
		return err
	}
	s.hooks.Begin(l.Head())
	if s.cluster != nil {
		if err := s.cluster.Check(); err != nil {
			return err
		}
	}
	s.reportForgotten(orders.Missing())
	if l.Head() == 0 {
		return nil
	}
	s.config.Log.Info("the log is read", "engine", engine.Redacted(s.config.Engine), "epoch", l.Lineage().Epoch().String(), "oldest", l.Oldest(), "sequence", l.Head(), "took", time.Since(began))
	return nil
}

// tails are what the log feeds, and what takes the entries that it has kept.
func (s *Server) tails(orders *control.Control) (tails log.Tails, restore func(batch []*log.Entry)) {
	restore = func(batch []*log.Entry) {
		s.starting.read.Add(uint64(len(batch)))
		if s.cluster != nil {
			s.cluster.Restore(batch)
		}
		s.listed.Restore(batch)
		s.hub.Restore(batch)
		orders.Restore(batch)
		s.hooks.Restore(batch)
		s.protection.Apply(batch)
		for _, e := range batch {
			s.keys.Restore(e)
		}
	}
	tails = log.Tails{s.hub, orders, s.hooks, &s.protection}
	if s.cluster != nil {
		tails = log.Tails{s.freshness, s.cluster, s.listed, s.hubTail(), s.counts, orders, s.hooks, &s.protection, learner{s.keys}} // first the node, then what it has
	}
	return tails, restore
}

// reportForgotten logs that tokens of before this start are refused, and why. It is
// something to look at if the log has messages, and still not all orders.
func (s *Server) reportForgotten(why string) {
	if why == "" || !s.config.Token.Configured() {
		return
	}
	level := slog.LevelInfo
	if s.log.Head() > 0 {
		level = slog.LevelWarn
	}
	s.config.Log.Log(context.Background(), level, "tokens that were issued before this start are refused: it is not known which of them were revoked", "reason", why, "issued_before", time.Unix(s.revoked.Floor(), 0).UTC().Format(time.RFC3339))
}
