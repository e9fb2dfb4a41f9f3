package server

import (
	"peal/server/log"
	"peal/server/presence"
)

// isWatched reports whether a client is subscribed to the presence of channel.
func (s *Server) isWatched(channel string) bool {
	info, _ := s.hub.Channel(log.PresencePrefix + channel)
	return info.Subscribers > 0
}

// publishPresence brings an event into the log, which gives it its place among
// the messages. Whatever the log refuses it for, it comes again.
func (s *Server) publishPresence(e *presence.Event) error {
	entry := &log.Entry{Kind: log.KindPresence, Channel: e.Channel, Data: e.JSON()}
	return s.log.Append([]*log.Entry{entry}, func(err error) {
		if err != nil {
			s.presence.Lost(e.Channel)
		}
	})
}
