package loop

import (
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/frame"
)

// outBytes is how much of pipelined answers is gathered before it is sent.
const outBytes = 64 << 10

// requests handles the requests in b, in order, until one is not whole, must
// wait (stateWaiting, with it in rest), or turns the connection into something else. It returns what is left,
// and how many more bytes are wanted. late says that the time of the request in b
// has passed.
//
// l.partial is what the front knows of the rest then; l.begun says that the rest
// is a request that began with this call.
func (l *Loop) requests(slot uint32, c *conn, b []byte, late bool) (rest []byte, need int) {
	l.partial, l.begun = l.inputs[c.input].partial, false
	out := l.out[:0]
	until := l.share()
	via := l.via(slot)
	for len(b) > 0 && c.state == stateHTTP && c.flags&(flagAnswering|flagCloseNext) == 0 {
		call := &l.call
		before := len(out)
		*call = Call{
			In:        b,
			Conn:      Ref{Loop: l.number, Slot: slot, Generation: c.generation},
			Session:   c.session,
			Peer:      l.transport(slot).addrPort(),
			Secure:    via&viaTLS != 0,
			Trusted:   via&viaTrusted != 0,
			Named:     via&viaNamed != 0,
			Continued: c.flags&flagContinued != 0,
			Draining:  c.flags&flagDrained != 0,
			Late:      late,
			Partial:   &l.partial,
			Ended:     c.flags&flagHalfClosed != 0,
			Out:       out,
		}
		if via&viaRefused != 0 {
			call.Refusal = l.refusals[slot]
		}
		l.busy()
		l.front.Request(call)
		l.idle()
		out = call.Out
		if call.Trusted && (call.Client.IsValid() || call.Verdict != More || c.flags&flagHead == 0) {
			l.setClient(slot, call.Client)
		}
		if call.Verdict == More {
			if len(out) > before {
				c.flags |= flagContinued
			}
			c.need = uint32(call.Need)
			need = max(0, call.Need-len(b))
			if c.flags&flagHead == 0 {
				l.beginHead(c)
				l.begun = true
				l.wait(slot, c, l.headTicks)
			}
			break
		}
		if call.Refusal.Reason != admit.None { // whatever the front thinks
			call.Verdict = ReplyClose
		}
		if call.Verdict == Wait {
			out = out[:before]
			c.need = 0
			c.state = stateWaiting
			l.spend(workRequest + call.Work)
			break
		}
		l.counts.requests++
		if l.life.talk != nil {
			l.spoke(slot, c, call.Used)
		}
		c.need = 0
		l.endHead(c)
		c.flags = c.flags&^flagContinued | flagUsed
		l.partial = Partial{}
		b = b[call.Used:]
		l.spend(workRequest + call.Work + call.Used/workBytes + (len(out)-before)/workOut)
		switch call.Verdict {
		case Reply:
			if call.Draining {
				c.flags |= flagCloseNext
			}
		case ReplyClose:
			c.flags |= flagCloseNext
		case Stream:
			out = l.startStream(slot, c, call.Sub, out)
		case Park:
			l.park(slot, c, call)
		case Later:
			c.state = stateLater
			if call.Close {
				c.flags |= flagCloseNext
			}
		}
		if len(out) >= outBytes {
			out = l.sendOut(slot, c, out)
		}
		if len(b) > 0 && l.work() >= until && c.state == stateHTTP && c.flags&(flagAnswering|flagCloseNext) == 0 {
			l.backlog(slot, c)
			break
		}
	}
	if len(out) > 0 && !late && c.mayCork(len(b)) {
		l.keepOut(slot, c, out)
		l.out = out[:0]
	} else {
		l.out = l.sendOut(slot, c, out)
	}
	switch {
	case c.state == stateHTTP && c.flags&(flagCloseNext|flagAnswering) == flagCloseNext:
		l.linger(slot, c)
	case c.state == stateParked && c.flags&flagHalfClosed != 0:
		l.fan.Expire(slot) // behind what has just been sent; or Idle does
	}
	return b, need
}

// sendOut sends gathered answers and returns the empty buffer.
func (l *Loop) sendOut(slot uint32, c *conn, out []byte) []byte {
	if len(out) == 0 || c.state == stateFree {
		return out[:0]
	}
	l.spend(workSend)
	done, err := l.fan.WriteAnswer(slot, out)
	switch {
	case err != nil:
		l.lost(slot, c)
	case !done:
		c.flags |= flagAnswering
	}
	if cap(out) > 4*outBytes {
		return nil // one large answer is not kept for ever
	}
	return out[:0]
}

// startStream turns the connection into the requested stream. It appends the gaps that
// must come first to out, which holds the head already.
func (l *Loop) startStream(slot uint32, c *conn, s *Subscription, out []byte) []byte {
	c.dialect = s.Dialect
	c.flags &^= flagPublishes | flagCommands | flagAsking
	l.countClient(slot)
	c.name(s)
	l.fan.Adopt(slot, s.Adopt)
	head := len(out)
	if s.Deflate {
		c.reader = frame.NewDeflateReader()
	}
	if s.Commands {
		return l.startCommands(slot, c, s, out)
	}
	position, err := l.fan.Subscribe(slot, &s.Subscription)
	if err != nil {
		panic("loop: a connection became a stream twice") // its state is stateHTTP
	}
	l.joined(slot, s, position, coverage{})
	l.countChannels()
	c.state = stateSSE
	if s.Framing == WebSocket {
		c.state = stateWS
		if s.Publishes {
			c.flags |= flagPublishes
		}
	}
	l.wait(slot, c, l.beat())
	l.setDeadline(slot, s.Deadline)
	if s.From == fanout.Foreign {
		l.noteGap(gapNote{session: c.session, to: position, tick: l.tick, reason: GapUnknown})
		var told bool
		if out, told = l.foreign(out, s, position); !told {
			out = l.sendOut(slot, c, out)
			if c.state != stateFree {
				l.closeStream(slot, c, frame.CloseGap, gapReason)
			}
			return out
		}
	}
	// Last: a client that has this position must have been told of the gap.
	known := s.Known && s.From == fanout.After
	out = l.encoder.AppendOpen(out, s.Dialect, fanout.Opening{Sequence: position, Known: known, Session: c.session, Adopted: s.Adopt})
	l.fan.AddSum(slot, out[head:])
	return out
}

// foreign appends that the cursor of s means nothing here. told is false if the
// dialect has no word for it and the client must know.
func (l *Loop) foreign(out []byte, s *Subscription, position uint64) (_ []byte, told bool) {
	l.counts.foreign++
	out, told = l.fan.AppendForeign(out, s.Dialect, s.Channels, position)
	return out, told || s.IgnoreGap
}

// park holds a poll.
func (l *Loop) park(slot uint32, c *conn, call *Call) {
	s := call.Sub
	s.OneShot, s.Close = true, call.Close || call.Draining
	l.fan.Adopt(slot, s.Adopt)
	before := l.coverage(slot)
	start, err := l.fan.Subscribe(slot, &s.Subscription)
	if err != nil {
		panic("loop: a poll was parked twice") // its state is stateHTTP
	}
	l.joined(slot, s, start, before)
	l.countChannels()
	c.name(s)
	c.state, c.dialect = stateParked, s.Dialect
	if s.Close {
		c.flags |= flagCloseNext
	}
	l.wait(slot, c, ticks(s.Deadline))
}

// answered sends what a worker has brought.
func (l *Loop) answered(slot uint32, c *conn, out []byte) {
	l.responded(c, out)
	c.state = stateHTTP
	c.seen = l.tick // the time that the answer took is not the client's
	c.generation++  // the Ref has brought its answer; a second one must not meet the next request
	l.sendOut(slot, c, out)
	if c.state == stateFree || c.flags&flagAnswering != 0 {
		return
	}
	l.finished(slot, c)
}

// finished goes on after an answer has left: with the next request, or the end.
func (l *Loop) finished(slot uint32, c *conn) {
	if c.flags&flagCloseNext != 0 {
		l.linger(slot, c)
		return
	}
	c.seen = l.tick // idle from now on, not from its request on
	l.resume(slot, c)
}

// linger ends the sending and waits for the client to hang up. Closing at once
// would reset the connection, and the reset could overtake what was sent last.
func (l *Loop) linger(slot uint32, c *conn) {
	if !l.uncorked(c) {
		return
	}
	if !l.fan.LaneEmpty(slot) {
		c.flags |= flagCloseNext // Idle comes back here
		return
	}
	if c.flags&flagHalfClosed != 0 {
		l.close(slot, c) // nothing is unread, so the kernel sends what it has, and no reset
		return
	}
	l.unsubscribe(slot, c)
	l.dropInput(c)
	l.kernel.Shutdown(c.fd)
	c.state, c.need = stateLinger, 0
	l.wait(slot, c, ticks(l.config.LingerTimeout))
	l.readAgain(slot, c)
}

const gapReason = "messages after the cursor are gone: load the state anew, or connect with gap=ignore"

const fellReason = "too slow: messages are gone that were not taken; connect again"

// closeStream says good-bye on a WebSocket or an event stream.
func (l *Loop) closeStream(slot uint32, c *conn, code uint16, reason string) {
	if !l.uncorked(c) {
		return
	}
	l.noteEnd(slot, c, code, reason)
	l.ending(slot, code, "closed with ")
	l.unsubscribe(slot, c)
	b := l.encoder.AppendClose(l.scratch[:0], c.dialect, code, reason)
	l.scratch = b
	if c.state == stateWS {
		l.closes.Add(code)
		c.state = stateWSClosing
	}
	l.wait(slot, c, ticks(l.config.LingerTimeout)) // to take what is in its lane
	if len(b) > 0 {
		if _, err := l.fan.WriteEnd(slot, b); err != nil {
			l.close(slot, c)
			return
		}
	}
	if c.state == stateSSE {
		l.linger(slot, c)
	}
}

// frames takes what a WebSocket client sent.
func (l *Loop) frames(slot uint32, c *conn, b []byte) (rest []byte) {
	rest, n := l.takeFrames(slot, c, b)
	if c.state == stateWS && l.tooManyFrames(slot, n) {
		l.flooded(slot, c)
		return nil
	}
	return rest
}

// takeFrames is frames, and returns how many there were.
func (l *Loop) takeFrames(slot uint32, c *conn, b []byte) (rest []byte, n int) {
	until := l.share()
	for {
		ev, rest, err := c.reader.Next(b, l.config.MessageBytes)
		n += ev.Joined
		l.spend(ev.Joined * workFrame)
		if err == nil && ev.Compressed && c.state == stateWS {
			ev.Payload, err = l.inflate(ev)
		}
		if err != nil {
			if c.state == stateWS {
				l.closeStream(slot, c, frame.CloseCode(err), err.Error())
			}
			if c.state != stateFree {
				l.linger(slot, c) // RFC 6455 §7.1.7: the connection has failed, its close frame is not awaited
			}
			return nil, n
		}
		if ev.Kind == frame.None {
			return rest, n
		}
		n++
		switch ev.Kind {
		case frame.Text, frame.Binary:
			if c.state == stateWS {
				l.message(slot, c, ev.Kind == frame.Binary, ev.Payload)
			}
		case frame.Pong:
			l.ponged(slot, ev.Payload)
		case frame.Ping:
			l.scratch = frame.AppendPong(l.scratch[:0], ev.Payload)
			l.reply(slot, c, l.scratch)
		case frame.Close:
			l.noteEnd(slot, c, ev.Code, endClient)
			switch {
			case c.state != stateWS:
				l.linger(slot, c)
			case l.owed(c):
				l.farewell(slot, c, closeSaid|uint32(ev.Code))
			default:
				l.closeBack(slot, c, ev.Code)
			}
			return nil, n
		}
		if c.state == stateFree || c.state == stateLinger {
			return nil, n
		}
		l.spend(workFrame + (len(b)-len(rest))/workBytes)
		b = rest
		if l.waits(c) {
			return b, n
		}
		if len(b) > 0 && l.work() >= until {
			l.backlog(slot, c)
			return b, n
		}
	}
}
