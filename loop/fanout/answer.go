package fanout

import "peal/loop/ring"

// reply is an encoded poll answer that others at the same position can share.
type reply struct {
	bytes    []byte
	messages int
	position uint64
	sequence uint64
	flags    uint16
	origin   uint16
}

const replyFlags = flagClose | flagHeadOnly | flagLast

// answer queues a poll's answer if there is something to tell, and ends its
// subscription. It reports whether it did.
func (f *Fan) answer(slot uint32, m *member, v *view) bool {
	if c := f.shareable(m, v); c != nil {
		f.stats.Deliveries += uint64(c.messages)
		f.sendAnswer(slot, m, c.bytes, c.sequence)
		return true
	}
	a := newAnswer(m)
	f.scratch.gaps, f.scratch.places = f.scratch.gaps[:0], f.scratch.places[:0]
	shared := m.flags&flagForeign == 0 && m.position >= f.lost
	if shared {
		a.Messages, a.Sequence, a.More, shared = f.fromIndex(slot, v, m)
	}
	if !shared {
		upto, o := f.readMerged(slot, m, v, int(v.most)+1, f.answerBytes(v.encoding))
		if o == wait {
			f.waiting = append(f.waiting, slot)
			return false
		}
		if len(f.scratch.gaps) > 0 {
			f.gap(slot)
		}
		a.Messages, a.Sequence, a.More = f.take(slot, v, m, f.scratch.merged, max(m.position, upto))
		clear(f.scratch.merged)
		if m.flags&flagForeign != 0 {
			f.tellForeign(slot, v, m.position)
		}
	}
	a.Gaps = f.scratch.gaps
	if len(a.Messages) == 0 && len(a.Gaps) == 0 && m.flags&flagExpired == 0 {
		m.position = max(m.position, a.Sequence)
		f.again(slot, m)
		return false
	}
	f.watchGaps(slot, a.Gaps)
	f.stats.Deliveries += uint64(len(a.Messages))
	for _, msg := range a.Messages {
		msg.Encoded(v.encoding, f.encode) // here, where it is counted; AppendAnswer finds it done, or does it again
	}
	b := f.encoder.AppendAnswer(nil, v.encoding, a)
	f.charge(len(b) * costByte)
	if f.compressor != nil && f.compressor.Compresses(v.encoding) {
		size := 0
		for _, msg := range a.Messages {
			size += msg.Size
		}
		f.charge(f.compressor.CompressionCost(v.encoding, true, size))
	}
	if shared && len(v.members) > 1 && m.flags&flagIntroduce == 0 {
		r := reply{b, len(a.Messages), m.position, a.Sequence, m.flags & replyFlags, m.origin}
		if !v.shares {
			v.pass.covered = r
		} else if !f.gather.excludes {
			f.covered, f.coveredOf = r, v
		}
	}
	clear(f.scratch.answer)
	f.sendAnswer(slot, m, b, a.Sequence)
	return true
}

// answerBytes is where an answer in encoding k ends. One that is compressed for the member
// is shorter, so that it keeps the loop for about as long as one message.
func (f *Fan) answerBytes(k ring.Encoding) int {
	if f.compressor != nil && f.compressor.Compresses(k) {
		return min(f.limits.AnswerBytes, compressedAnswer)
	}
	return f.limits.AnswerBytes
}

// newAnswer is one without content.
func newAnswer(m *member) Answer {
	return Answer{Close: m.flags&flagClose != 0, Last: m.flags&flagLast != 0, HeadOnly: m.flags&flagHeadOnly != 0, Origin: m.origin, Introduce: m.flags&flagIntroduce != 0}
}

// shareable returns the view's last answer if it fits this poll, else nil.
func (f *Fan) shareable(m *member, v *view) *reply {
	var c *reply
	switch {
	case m.flags&(flagForeign|flagIntroduce) != 0:
		return nil
	case v.shares:
		if f.coveredOf != v {
			return nil
		}
		c = &f.covered
	case v.pass == nil || v.pass.live.excludes:
		return nil
	default:
		c = &v.pass.covered
	}
	if c.bytes == nil || c.position != m.position || c.flags != m.flags&replyFlags || c.origin != m.origin || c.sequence < v.head {
		return nil
	}
	return c
}

// fromIndex takes the messages after the member's position from the live strip
// of its view, or from what waits for its channels. It reports false if some of
// them are only in the history.
func (f *Fan) fromIndex(slot uint32, v *view, m *member) (out []*ring.Message, covered uint64, more, ok bool) {
	all := f.scratch.merged[:0]
	if v.shares {
		if n, ok := f.gather.start(v, m.position); !ok || n == 0 {
			return nil, 0, false, false
		}
		f.gather.open(m.position)
		for len(all) <= int(v.most) {
			msg := f.gather.next()
			if msg == nil {
				break
			}
			if !f.leavesOut(msg, slot, m) {
				all = append(all, msg)
			}
		}
	} else {
		if v.pass == nil || v.pass.live.empty() || m.position < v.pass.live.base {
			return nil, 0, false, false
		}
		s := v.pass.live
		for _, p := range s.index[s.after(m.position):] {
			if len(all) > int(v.most) {
				break
			}
			if !f.leavesOut(p.message, slot, m) {
				all = append(all, p.message)
			}
		}
	}
	f.scratch.merged = all
	out, covered, more = f.take(slot, v, m, all, max(m.position, f.applied))
	clear(all)
	return out, covered, more, true
}

// take collects messages until an answer is full, and returns what it covers:
// covered if nothing was left over, else there is more.
func (f *Fan) take(slot uint32, v *view, m *member, all []*ring.Message, covered uint64) (_ []*ring.Message, _ uint64, more bool) {
	out := f.scratch.answer[:0]
	bytes, limit := 0, f.answerBytes(v.encoding)
	for i, msg := range all {
		if len(out) == int(v.most) || bytes >= limit {
			covered, more = all[i-1].Sequence, true
			break
		}
		if !f.leavesOut(msg, slot, m) {
			msg = f.shown(msg, v)
			out = append(out, msg)
			bytes += len(msg.Encoded(v.encoding, f.encode)) // as it is sent: JSON may be six times as long
		}
	}
	f.scratch.answer = out
	return out, covered, more
}

func (f *Fan) sendAnswer(slot uint32, m *member, b []byte, sequence uint64) {
	f.leave(slot, m)
	m.position = sequence
	m.flags &^= flagForeign
	f.tell(eventAnswered, slot, m, nil)
	f.happened[len(f.happened)-1].answer = b
	f.fly(slot, m, b).answer = true
}

func (f *Fan) answerSent(l *flight, m *member, n int, full bool) {
	f.stats.Sends++
	f.stats.Bytes += uint64(n)
	if full {
		f.holdRest(l.slot, m, l.bytes[n:])
		f.full(l.slot, m)
		return
	}
	if m.lane == 0 {
		f.tell(eventIdle, l.slot, m, nil)
	}
	if m.lane != 0 || m.view != 0 {
		f.queueBehind(l.slot, m) // written, or subscribed again, before the report
	}
}

// HeadOnly reports whether slot is a poll by HEAD.
func (f *Fan) HeadOnly(slot uint32) bool { return f.member(slot).flags&flagHeadOnly != 0 }

// Origin is Subscription.Origin of slot.
func (f *Fan) Origin(slot uint32) uint16 { return f.member(slot).origin }

// Expire answers a poll with what it has, which is nothing: its time is up. It
// reports false if slot is no waiting poll, or its socket is full.
func (f *Fan) Expire(slot uint32) bool {
	m := f.member(slot)
	if m.view == 0 || !f.views[m.view].oneShot || m.flags&(flagFull|flagDead) != 0 {
		return false
	}
	v := f.views[m.view]
	if m.position < v.head || m.flags&flagForeign != 0 || m.lane != 0 || m.flight != 0 || f.delivering {
		m.flags |= flagExpired // something came at the last moment, if it may have it; or it was not told of its gap yet; or another response is on its way
		f.queueBehind(slot, m)
		return true
	}
	a := newAnswer(m)
	a.Sequence = f.Position(slot)
	b := f.encoder.AppendAnswer(nil, v.encoding, a)
	f.sendAnswer(slot, m, b, f.Position(slot))
	return true
}

// Finish is Expire for the last answer on a connection, because the server ends. It may
// be called again until the answer has left.
func (f *Fan) Finish(slot uint32) {
	if m := f.member(slot); m.view != 0 && f.views[m.view].oneShot {
		m.flags |= flagClose | flagLast
		f.Expire(slot)
	}
}
