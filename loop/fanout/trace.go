package fanout

import "peal/loop/ring"

// Cause is why messages of a channel were not sent to a member.
type Cause uint8

const (
	Dropped Cause = iota // the history has dropped them
	Skipped              // the policy of the channel: Latest
	Strange              // the cursor of the member meant nothing
	Lost                 // the log has lost them: Fan.Lose
)

// Tracer hears of gaps. No delivery passes it.
type Tracer interface {
	// Gap: messages of the channel behind from, up to to, are not sent to the member: it
	// gets a gap, or goes on without a notice (Subscription.IgnoreGap). The same may be reported again.
	Gap(slot uint32, channel string, from, to uint64, why Cause)
}

// UseTracer has t hear of gaps; without it nobody does. Before the first Subscribe.
func (f *Fan) UseTracer(t Tracer) { f.tracer = t }

// AllUnsure, as the second result of Covered, says that of all messages behind the first one.
const AllUnsure = ^uint64(0)

// Covered is the sequence up to which the member was sent everything of its channels, but for its
// gaps, to the last byte. unsure is the message that is being sent, if it is greater; AllUnsure: those behind
// covered may have been sent or not. Of an answered poll it is what the answer covers.
func (f *Fan) Covered(slot uint32) (covered, unsure uint64) {
	m := f.member(slot)
	switch {
	case m.view == 0 && m.lane == 0 && m.flight == 0:
		return m.position, m.position
	case m.view == 0:
		return 0, AllUnsure // the answer is on its way
	case m.flight != 0:
		return max(m.position, 1) - 1, AllUnsure
	case m.lane != 0 && len(f.lanes[m.lane].half) > 0:
		return max(m.position, 1) - 1, m.position
	}
	at := f.Position(slot)
	return at, at
}

// ToldUpTo returns, for each of channels, the sequence up to which the member needs no notice of a gap: it
// has begun with what was retained. nil: 0 for each.
func (f *Fan) ToldUpTo(slot uint32, channels []string) (told []uint64) {
	m := f.member(slot)
	k := f.marks[slot]
	if m.view == 0 || k == nil || k.told == nil {
		return nil
	}
	told = make([]uint64, len(channels))
	for at, name := range channels {
		f.views[m.view].channels(func(i int, c *channel) {
			if c.name() == name {
				told[at] = k.told[i]
			}
		})
	}
	return told
}

// watchTold reports the gaps of a stream that was told of them: told is as in marks. It comes before
// the position moves.
func (f *Fan) watchTold(slot uint32, m *member, told []uint64) {
	if f.tracer == nil {
		return
	}
	k := f.marks[slot]
	f.views[m.view].channels(func(i int, c *channel) {
		from := k.start(i, m.position)
		if told[i] <= from || k.isTold(i, told[i]) {
			return
		}
		why := Dropped
		switch {
		case told[i] <= f.lost:
			why = Lost
		case m.flags&flagSlow != 0 && f.policyOf(c.name()) == Latest:
			why = Skipped
		}
		f.tracer.Gap(slot, c.name(), from, told[i], why)
	})
}

// watchStale is watchTold for a stream whose subscription has changed meanwhile: names is as in settle.
func (f *Fan) watchStale(slot uint32, m *member, names []string, told []uint64) {
	if f.tracer == nil || told == nil {
		return
	}
	for i, name := range names {
		if name != "" && told[i] > m.position {
			f.tracer.Gap(slot, name, m.position, told[i], Dropped)
		}
	}
}

// watchGaps reports gaps that were found for a member, and that the answer to its poll has, or that it
// does not want to know of.
func (f *Fan) watchGaps(slot uint32, gaps []ring.Gap) {
	if f.tracer == nil {
		return
	}
	for _, g := range gaps {
		why := Dropped
		switch {
		case g.Foreign:
			why = Strange
		case g.Slow:
			why = Skipped
		case g.To <= f.lost:
			why = Lost
		}
		f.tracer.Gap(slot, g.Channel, g.From, g.To, why)
	}
}
