package fanout

import "peal/loop/ring"

// A cursor of another epoch, ahead of the head or unreadable is a gap on each channel,
// up to the newest message that was dropped. Streams begin with these gaps, and the
// response to a poll contains them.

func foreign(channel string, to uint64) ring.Gap {
	return ring.Gap{Channel: channel, To: to, Foreign: true}
}

// AppendForeign appends the gaps with which a stream begins in encoding k, for the
// channels of a subscription that was given position. told is false if the encoding
// cannot express gaps.
func (f *Fan) AppendForeign(dst []byte, k ring.Encoding, channels []string, position uint64) (out []byte, told bool) {
	before := len(dst)
	for _, c := range channels {
		var dropped uint64
		if p := f.channels.pattern(c); p != nil {
			dropped = f.firstOf(p, len(channels))
		} else {
			_, dropped, _ = f.source.Read(nil, c, position, position, 1, 1)
		}
		dst = f.encoder.AppendGap(dst, k, foreign(c, max(position, dropped)))
	}
	f.charge(len(channels)*costGap + (len(dst)-before)*costByte)
	return dst, len(dst) > before
}

// tellForeign has scratch.gaps say that the cursor means nothing, on each
// channel up to where what was dropped of it ends.
func (f *Fan) tellForeign(slot uint32, v *view, position uint64) {
	dropped := f.scratch.gaps // since the request came; what was gone before is in the marks
	gaps := make([]ring.Gap, 0, v.width())
	k := f.marks[slot]
	v.channels(func(i int, c *channel) {
		to := position
		if k != nil && k.told != nil {
			to = max(to, k.told[i])
		}
		gaps = append(gaps, foreign(c.name(), to))
	})
	for i, g := range dropped {
		own := &gaps[f.scratch.places[i]]
		own.To = max(own.To, g.To)
	}
	f.charge(len(gaps) * costGap)
	f.scratch.gaps = gaps
	f.gap(slot)
}
