package server

import (
	"time"

	"peal/server/control"
	"peal/server/log"
)

// startLog makes the log feed the hub and control. It brings the entries along that
// it has kept, for these and for the idempotency keys, which takes as long as it takes
// to read them.
func (s *Server) startLog(orders *control.Control) error {
	began, l := time.Now(), s.log
	l.Keep(orders)
	s.hub.Begin(l.Oldest(), l.Head())
	restore := func(batch []*log.Entry) {
		s.hub.Restore(batch)
		orders.Restore(batch)
		for _, e := range batch {
			s.keys.Restore(e)
		}
	}
	if err := l.Start(log.Tails{s.hub, orders}, restore); err != nil {
		return err
	}
	if l.Head() == 0 {
		return nil
	}
	s.config.Log.Info("the log is read", "engine", s.config.Engine, "epoch", l.Lineage().Epoch(), "oldest", l.Oldest(), "sequence", l.Head(), "took", time.Since(began))
	return nil
}
