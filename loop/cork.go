package loop

// Responses to ordinary requests leave at the end of the batch of events that brought the requests,
// or of the turn, before what is fanned out: a client that is woken by the first one finds the
// others behind it, and the server stays in one part of the kernel at a time.
//
// A connection with a response here has flagAnswering, as if its socket had been full: no further
// request of it is handled, and it is not ended, before the response was sent. It receives
// nothing else in this state, so that nothing overtakes it.

// corkBytes is how much of responses is kept before it is sent. One alone is shorter than outBytes.
const corkBytes = outBytes

// corked is a response that is ready and was not sent yet.
type corked struct {
	slot, serial uint32
	end          int // of its bytes in Loop.cork; they begin where those before it end
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
	l.spend(workSend) // here, for the share of the connection and for between
	l.cork = append(l.cork, out...)
	l.corked = append(l.corked, corked{slot, c.serial(), len(l.cork)})
	c.flags |= flagAnswering
}

// uncork sends the responses that were kept, in their order. It is called wherever the loop
// may wait or do something else: at the end of a batch, of a turn, and of a task.
func (l *Loop) uncork() {
	if len(l.corked) == 0 {
		return
	}
	from := 0
	for _, k := range l.corked { // nothing is added: see finished
		out := l.cork[from:k.end]
		from = k.end
		c := l.conn(k.slot)
		if c.serial() != k.serial || c.state == stateFree {
			continue // it was lost or closed
		}
		switch done, err := l.fan.WriteAnswer(k.slot, out); {
		case err != nil:
			c.flags &^= flagAnswering
			l.lost(k.slot, c)
		case done:
			c.flags &^= flagAnswering
			l.finished(k.slot, c)
		} // else Idle goes on
	}
	l.cork, l.corked = l.cork[:0], l.corked[:0]
}
