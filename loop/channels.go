package loop

import (
	"peal/loop/evict"
	"peal/loop/fanout"
	"peal/loop/frame"
)

// countChannels has a turn look for who has most channels, if there are more than
// may be: who has just subscribed is not to be closed in the middle of it.
func (l *Loop) countChannels() {
	if (l.fan.Channeled() > l.config.Channels || l.fan.Crowded()) && !l.crowded {
		l.crowded = true
		l.scheduleTurn()
	}
}

// limitChannels closes the connections with most channels, an eighth of all
// subscriptions at a time, until there are few enough channels.
func (l *Loop) limitChannels() {
	l.crowded = false
	switch {
	case l.fan.Channeled() > l.config.Channels:
		l.thinOut(l.fan.Width, channelsReason, "client closed: subscribed channels exceeded max-subscribed-channels, and this client had the most", "channels", l.config.Channels)
	case l.fan.Crowded():
		l.thinOut(l.fan.MatchCost, templatesReason, "client closed: the loop has too many templates of topics, and those of this client cost the most", "cost", fanout.MaxMatchCost)
	}
}

// thinOut closes the connections with the most of what width counts.
func (l *Loop) thinOut(width func(slot uint32) int, reason, warning, unit string, limit int) {
	var all []evict.Holder
	total := 0
	for slot := range l.used {
		if n := width(slot); n > 0 {
			all = append(all, evict.Holder{Slot: slot, Bytes: n, Share: l.shareOf(slot)})
			total += n
		}
	}
	for _, h := range evict.Choose(all, total-1) {
		c := l.conn(h.Slot)
		l.counts.channelsFull++
		l.warn(&l.complaints.channels, warning, func() []any {
			return []any{"client", l.clientText(h.Slot), unit, h.Bytes, "limit", limit}
		})
		if c.state == stateSSE {
			l.closeStream(h.Slot, c, frame.CloseTryAgainLater, reason)
		} else {
			l.throwOut(h.Slot, c, frame.CloseTryAgainLater, reason)
		}
	}
	l.countChannels()
}

const channelsReason = "the server has as many channels as it may and this connection has the most of them: subscribe to fewer"

const templatesReason = "too many topic templates, or too many that begin and end alike; this connection has the costliest: subscribe to fewer"
