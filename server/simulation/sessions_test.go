package simulation_test

import (
	"encoding/binary"

	"peal/server/log"
	"peal/server/session"
)

// newSessions makes the session ids of one life of the server.
func (w *world) newSessions() *session.IDs {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], w.seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(len(w.oracle.common)))
	return session.New(key)
}

// numberOf is the number of the connection with that id, 0 for none.
func (p *process) numberOf(id [16]byte) uint64 {
	n, _ := p.sessions.Session(id)
	return n
}

// anySession chooses the id that a client presents: mostly its last one, so that it is
// still left out; one that it has made; or none.
func (c *client) anySession() session.ID {
	switch c.w.rnd.IntN(8) {
	case 0, 1, 2:
		return session.ID{}
	case 3:
		return session.ID{byte(1 + c.w.rnd.IntN(3)), 15: 9}
	}
	return c.session
}

// anybody chooses whom a publication leaves out; the zero value is nobody.
func (w *world) anybody() session.ID {
	if len(w.clients) == 0 || w.rnd.IntN(3) > 0 {
		return session.ID{}
	}
	return w.clients[w.rnd.IntN(len(w.clients))].session
}

// sessionOf is the id of the session that a connection has for an exchange; zero for a
// poll that presents none, which is left out of nothing.
func (w *world) sessionOf(c *conn, x *exchange) session.ID {
	if !x.ask.session.IsZero() || x.ask.transport == poll {
		return x.ask.session
	}
	return w.sessions.Of(c.session)
}

// judgeSession checks the id that a client receives.
func (w *world) judgeSession(c *conn, text string) {
	if text == "" {
		return
	}
	if x := c.current(); x.ask.transport == poll && x.ask.session.IsZero() {
		id, ok := session.Parse([]byte(text))
		if _, known := w.sessions.Session(id); !ok || known {
			w.fail("%s: the session %q for its next poll", c, text)
		}
		c.client.session = id
	} else if want := w.sessionOf(c, x).String(); text != want {
		w.fail("%s: its session is %s, but it received %s", c, want, text)
	}
}

// countLeftOut counts what h has passed up to a sequence and was not for its session.
func (w *world) countLeftOut(h *hearing, upto uint64) {
	for q := h.position + 1; q <= upto; q++ {
		if e := w.oracle.truth[q-1]; h.leavesOut(e) && h.hears(e) {
			w.counts[leftOut]++
		}
	}
}

// leavesOut tells whether e is kept from the session of h.
func (h *hearing) leavesOut(e *log.Entry) bool { return e.Exclude != nil && *e.Exclude == h.session }

// hears tells whether e is on a channel of h.
func (h *hearing) hears(e *log.Entry) bool {
	for _, name := range channelsOf(e) {
		if h.account(name) != nil {
			return true
		}
	}
	return false
}
