package loop

// Responses to ordinary requests, and what the front writes to streams, as replies to commands, leave at the
// end of the batch of events that brought the requests, or of the turn, before what is fanned out: a client that
// is woken by the first one finds the others behind it, and the server stays in one part of the kernel at a time.
// Replies to several commands of one read are one send.
//
// A connection with a response here has flagAnswering, as if its socket had been full: no further
// request of it is handled, and it is not ended, before the response was sent. It receives
// nothing else in this state, so that nothing overtakes it. One with replies has flagCorked, and goes on: all that is
// written to it by another way is written by write, or behind uncorked.

// corkBytes is how much is kept before it is sent. One response alone is shorter than outBytes.
const corkBytes = outBytes

// replyBytes is how many bytes of replies to one connection leave together: about forty short ones. A client
// that reads while it sends can take the first before the last is there, so that they do not all go to its lane.
const replyBytes = 4 << 10

// corked is what is ready for a connection and was not sent yet.
type corked struct {
	slot, serial uint32
	end          int  // of its bytes in Loop.cork; they begin where those before it end
	reply        bool // to a stream, and no response
	sent         bool // by uncorkTogether
}

// mayCork reports whether the response that c is about to get can be sent later. rest is how much is
// left of its input.
func (c *conn) mayCork(rest int) bool {
	return c.state == stateHTTP && rest == 0 && c.flags&(flagAnswering|flagBacklog) == 0
}

// keepOut keeps a response until uncork. out is the caller's.
func (l *Loop) keepOut(slot uint32, c *conn, out []byte) {
	if len(l.cork)+len(out) > corkBytes {
		l.uncork()
	}
	l.keep(corked{slot: slot, serial: c.serial()}, out)
	c.flags |= flagAnswering
}

// keep is one send that comes later.
func (l *Loop) keep(k corked, b []byte) {
	l.spend(workSend) // here, for the share of the connection and for between
	l.cork = append(l.cork, b...)
	k.end = len(l.cork)
	l.corked = append(l.corked, k)
}

// corkedBytes is the bytes of the entry i of corked.
func (l *Loop) corkedBytes(i int) []byte {
	from := 0
	if i > 0 {
		from = l.corked[i-1].end
	}
	return l.cork[from:l.corked[i].end]
}

// reply writes to a WebSocket or event stream, behind what was written to it before, and keeps it until uncork. b
// is the caller's.
func (l *Loop) reply(slot uint32, c *conn, b []byte) {
	if l.flushing || len(b) > replyBytes || !c.isOpen() {
		l.spend(workSend)
		l.write(slot, c, b)
		return
	}
	serial := c.serial()
	if last := len(l.corked) - 1; last >= 0 && l.corked[last] == (corked{slot: slot, serial: serial, end: len(l.cork), reply: true}) {
		if len(l.corkedBytes(last))+len(b) <= replyBytes && !l.uncorking {
			l.cork = append(l.cork, b...)
			l.corked[last].end = len(l.cork)
			return
		}
		l.uncork()
	} else if len(l.cork)+len(b) > corkBytes {
		l.uncork()
	}
	if c.isOpen() { // else what was sent has shown that nobody is there
		l.keep(corked{slot: slot, serial: serial, reply: true}, b)
		c.flags |= flagCorked
	}
}

// write sends to a stream at once, behind what was kept for it.
func (l *Loop) write(slot uint32, c *conn, b []byte) {
	if !l.uncorked(c) {
		return
	}
	if c.isCorked() { // uncork is under way, and comes to it
		l.keep(corked{slot: slot, serial: c.serial(), reply: true}, b)
		return
	}
	if _, err := l.fan.Write(slot, b); err != nil {
		l.close(slot, c)
	}
}

// uncorked has all be sent that was kept for a stream, and reports whether it is still there.
func (l *Loop) uncorked(c *conn) bool {
	if c.isCorked() {
		l.uncork()
	}
	return c.state != stateFree
}

func (c *conn) isCorked() bool {
	return c.flags&flagCorked != 0 && (c.state == stateWS || c.state == stateSSE || c.state == stateWSClosing)
}

// uncork sends what was kept, in its order. It is called wherever the loop
// may wait or do something else: at the end of a batch, of a turn, and of a task.
func (l *Loop) uncork() {
	if len(l.corked) == 0 || l.uncorking {
		return
	}
	l.uncorking = true
	if l.sender.together != nil && len(l.corked) > 1 {
		l.uncorkTogether()
	}
	for i := 0; i < len(l.corked); i++ { // fronts that hear of the end of one may write to another
		k, out := l.corked[i], l.corkedBytes(i)
		c := l.conn(k.slot)
		if k.sent || c.serial() != k.serial || c.state == stateFree {
			continue // or it was lost or closed
		}
		if k.reply {
			c.flags &^= flagCorked
			if _, err := l.fan.Write(k.slot, out); err != nil {
				l.lost(k.slot, c)
			}
			continue
		}
		done, err := l.fan.WriteAnswer(k.slot, out)
		l.answerLeft(k.slot, c, done, err)
	}
	l.cork, l.corked, l.uncorking = l.cork[:0], l.corked[:0], false
}

// answerLeft goes on when a response that was kept has been sent.
func (l *Loop) answerLeft(slot uint32, c *conn, done bool, err error) {
	switch {
	case err != nil:
		c.flags &^= flagAnswering
		l.lost(slot, c)
	case done:
		c.flags &^= flagAnswering
		l.finished(slot, c)
	} // else Idle goes on
}
