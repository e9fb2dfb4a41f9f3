package simulation_test

import (
	"bytes"

	"peal/loop"
)

// Requests that the front lets wait, as for a worker that checks a signature: the loop
// must ask about the same bytes again after Group.Again, and not before.

// waiting is a request that waits.
type waiting struct {
	ref   loop.Ref
	in    []byte // what was there of it, and behind it
	again bool   // Group.Again was called
	moved bool   // to another process, which has to ask at once
}

// waits tells whether the front lets a request of c wait.
func (c *conn) waits() bool { return c.waiting != nil && !c.waiting.again }

// letWait has the front let the request wait that call is about, perhaps, and checks
// what comes of one that has waited.
func (w *world) letWait(c *conn, call *loop.Call) bool {
	if h := c.waiting; h != nil {
		switch {
		case !h.again:
			w.fail("%s: a request that waits is looked at again, though Group.Again was not called", c)
		case !bytes.HasPrefix(call.In, h.in):
			w.fail("%s: a request has waited, and is now %.60q, but was %.60q", c, call.In, h.in)
		}
		w.counts[waited]++
		if !h.moved {
			w.stale = append(w.stale, h.ref)
		}
		c.waiting = nil
	}
	if !w.plan.waits || w.finishing || call.Late || w.own.IntN(4) > 0 {
		return false
	}
	call.Verdict = loop.Wait
	call.Out = append(call.Out, "never"...)
	c.waiting = &waiting{ref: call.Conn, in: bytes.Clone(call.In)}
	return true
}

// askAgain has the loops look at some requests again that wait, and at others that do
// not wait any more.
func (w *world) askAgain() {
	for _, s := range w.machine.sockets {
		if s == nil || s.conn == nil || !s.conn.waits() || !w.finishing && w.own.IntN(8) > 0 {
			continue
		}
		h := s.conn.waiting
		w.note("%s has waited long enough", s.conn)
		h.again = true
		for range 1 + w.own.IntN(2) {
			w.group.Again(h.ref)
		}
	}
	if n := len(w.stale); n > 0 && w.own.IntN(8) == 0 {
		w.group.Again(w.stale[w.own.IntN(n)])
	}
}
