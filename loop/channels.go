package loop

import (
	"peal/loop/evict"
	"peal/loop/frame"
)

// countChannels has a turn look for who has most channels, if there are more than
// may be: who has just subscribed is not to be closed in the middle of it.
func (l *Loop) countChannels() {
	if l.fan.Channeled() > l.config.Channels && !l.crowded {
		l.crowded = true
		l.scheduleTurn()
	}
}

// limitChannels closes the connections with most channels, an eighth of all
// subscriptions at a time, until there are few enough channels.
func (l *Loop) limitChannels() {
	l.crowded = false
	if l.fan.Channeled() <= l.config.Channels {
		return
	}
	var all []evict.Holder
	total := 0
	for slot := range l.used {
		if n := l.fan.Width(slot); n > 0 {
			all = append(all, evict.Holder{Slot: slot, Bytes: n, Share: l.shareOf(slot)})
			total += n
		}
	}
	for _, h := range evict.Choose(all, total-1) {
		c := l.conn(h.Slot)
		l.counts.channelsFull++
		l.warn(&l.complaints.channels, "client closed: subscribed channels exceeded max-subscribed-channels, and this client had the most", func() []any {
			return []any{"client", l.clientText(h.Slot), "channels", h.Bytes, "limit", l.config.Channels}
		})
		if c.state == stateSSE {
			l.closeStream(h.Slot, c, frame.CloseTryAgainLater, channelsReason)
		} else {
			l.throwOut(h.Slot, c, frame.CloseTryAgainLater, channelsReason)
		}
	}
	l.countChannels()
}

const channelsReason = "the server has as many channels as it may and this connection has the most of them: subscribe to fewer"
