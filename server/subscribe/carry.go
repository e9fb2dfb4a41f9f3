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

	// Of a guest; Named is false for a session without one.
	Named  bool            `json:",omitempty"`
	Client string          `json:",omitempty"`
	Info   string          `json:",omitempty"`
	ByURL  bool            `json:",omitempty"`
	Self   []byte          `json:",omitempty"` // 16 bytes, or none
	Seats  []presence.Seat `json:",omitempty"`
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
	if guest := g.bySession[session]; guest != nil {
		c.Named, ok = true, true
		c.Client, c.Info, c.ByURL = guest.Client(), guest.Info(), guest.ByURL
		if guest.Self != nil {
			c.Self = guest.Self[:]
		}
		c.Seats = guest.Seats(nil)
	}
	return c, ok
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
	if !c.Named {
		return
	}
	guest := g.book.Enter(by, c.Client, c.Info)
	guest.ByURL = c.ByURL
	if len(c.Self) == len(guest.Self) {
		guest.Self = (*[16]byte)(c.Self)
	}
	g.bySession[session] = guest
	for i := range c.Seats {
		s := &c.Seats[i]
		guest.Sit([]string{s.Channel}, s.Client, s.Info, func(int) bool { return s.Listed })
	}
}
