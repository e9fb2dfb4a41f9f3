package subscribe

import (
	"peal/server/grant"
	"peal/server/presence"
	"peal/server/share"
)

// Carried is what Guests know of a session, as plain data for another process.
type Carried struct {
	Grant   *grant.Plain      `json:",omitempty"` // nil: nothing was proven
	Headers map[string][]byte `json:",omitempty"` // Brought.Headers, which may be no UTF-8
	User    string            `json:",omitempty"` // Brought.User

	Guest *presence.HandedGuest `json:",omitempty"` // nil for a session without one
}

// Carry returns it. ok is false if there is nothing.
func (g *Guests) Carry(session uint64) (c Carried, ok bool) {
	if proven := g.grants[session]; proven != nil {
		plain := proven.Plain()
		c.Grant, ok = &plain, true
	}
	if b, known := g.brought[session]; known {
		c.User, ok = b.User, true
		for name, value := range b.Headers {
			if c.Headers == nil {
				c.Headers = map[string][]byte{}
			}
			c.Headers[name] = []byte(value)
		}
	}
	if guest := g.Of(session); guest != nil {
		handed := guest.HandOver()
		c.Guest, ok = &handed, true
	}
	return c, ok
}

// Mark is what Carry returns for most sessions, to be compared with ==. ok is false if there is more. What a
// Grant says does not change.
type Mark struct {
	proven *grant.Grant
	user   string
}

// Mark returns it.
func (g *Guests) Mark(session uint64) (m Mark, ok bool) {
	b := g.brought[session]
	return Mark{g.grants[session], b.User}, len(b.Headers) == 0 && g.Of(session) == nil
}

// Restore has the session, of a connection of that share, be what c says, with proven made of
// c.Grant. The connection is Named. The table of presence knows the members already; a seat for
// which there is no room any more is lost.
func (g *Guests) Restore(session uint64, by share.Key, c Carried, proven *grant.Grant) {
	if proven != nil {
		g.count(session, proven)
		g.grants[session] = proven
	}
	if len(c.Headers) > 0 || c.User != "" {
		b := Brought{Headers: map[string]string{}, User: c.User}
		for name, value := range c.Headers {
			b.Headers[name] = string(value)
		}
		g.brought[session] = b
	}
	if c.Guest != nil {
		g.keep(session, g.book.Take(*c.Guest))
	}
}
