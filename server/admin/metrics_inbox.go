package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"peal/server/inbox"
)

// inboxed is a Source whose log may have an inbox.
type inboxed interface {
	// InboxStats is what was moved from there; ok is false without one.
	InboxStats() (stats inbox.Stats, ok bool)
}

var inboxMetrics = []metric{
	by("result", "inbox_entries_total", "Entries that this node took out of the inbox of the log, by result.", func(s *state) map[string]uint64 {
		return map[string]uint64{"moved": s.inbox.Moved, "refused": s.inbox.Refused}
	}),
	one(prometheus.GaugeValue, "inbox_waiting", "Entries in the inbox of the log when this node last looked; 0 on nodes that do not move them.", func(s *state) float64 { return float64(s.inbox.Waiting) }),
	one(prometheus.GaugeValue, "inbox_mover", "1 on the node that moves the entries of the inbox, 0 on others.", func(s *state) float64 {
		if s.inbox.Mover {
			return 1
		}
		return 0
	}),
}
