package server

import (
	"strings"
	"time"

	"peal/server/app"
	"peal/server/cluster"
	"peal/server/counts"
	"peal/server/httpapi"
	"peal/server/log"
	"peal/server/presence"
)

// isWatched reports whether a client is subscribed to the presence of channel.
func (s *Server) isWatched(channel string) bool {
	return s.hub.Subscribers(log.PresencePrefix+channel) > 0
}

// isComplete reports whether the clients of a channel keep its list of members themselves: those of
// the Pusher protocol, which receive it once.
func (s *Server) isComplete(channel string) bool {
	return strings.HasPrefix(app.Name(channel), app.Presence) && s.apps.Load().Of(channel) != nil
}

// publishPresence brings an event into the log, which gives it its place among
// the messages. Whatever the log refuses it for, it comes again.
func (s *Server) publishPresence(e *presence.Event) error {
	entry := &log.Entry{Kind: log.KindPresence, Channel: e.Channel, Data: e.JSON(), Exclude: e.Exclude}
	return s.log.Append([]*log.Entry{entry}, func(err error) {
		if err != nil {
			s.presence.Lost(e.Channel)
		}
	})
}

// sharePresence has members and subscribers be those of all nodes of the log. Before the log is
// started.
func (s *Server) sharePresence(self uint64, nodes *cluster.Cluster) {
	members := presence.NewCluster(s.config.Presence, self, s.isWatched, nodes.Nodes)
	s.presence.UseCluster(members)
	s.hub.RecordChanges()
	s.counts = counts.New(self, watchedHub{s.hub, s}, s.presence.Connections, nodes.Nodes, s.skipped)
	members.UseElsewhere(func(channel string) int {
		_, listed := s.counts.Elsewhere(channel)
		return listed
	})
	members.OnAsk(s.counts.Ask)
	s.listed = s.subscriptions.Share(self, nodes.Nodes, nodes.Lease())
	nodes.OnHello(func(id uint64) {
		members.OnHello(id)
		s.counts.OnHello(id)
		s.listed.OnHello(id)
	})
	nodes.OnGone(func(id uint64) {
		members.OnGone(id)
		s.counts.OnGone(id)
		s.listed.OnGone(id)
	})
}

// skipped logs an entry that cannot be read.
func (s *Server) skipped(sequence uint64, err error) {
	s.config.Log.Error("an entry of the log was skipped", "sequence", sequence, "error", err)
}

// hubTail is the hub as a tail of the log. If the log is shared, presence of all nodes becomes the
// hub's events on the way.
func (s *Server) hubTail() log.Tail {
	members := s.presence.Cluster()
	if members == nil {
		return s.hub
	}
	return members.Feed(s.hub, func(e *log.Entry, err error) { s.skipped(e.Sequence, err) })
}

// directory is what clients ask about channels.
func (s *Server) directory() httpapi.Directory {
	if s.counts == nil {
		return s.hub
	}
	return counts.Directory{Hub: s.hub, Table: s.counts}
}

// tickPresence does what presence has to do, and returns when to call it again; nil when it
// signals.
func (s *Server) tickPresence() (again <-chan time.Time) {
	more := false
	if s.presence.Cluster() != nil {
		more = s.presence.Report(s.log.Append)
	} else {
		more = s.presence.Tick(s.publishPresence)
	}
	if !more {
		return nil
	}
	return time.After(presence.TickEvery)
}
