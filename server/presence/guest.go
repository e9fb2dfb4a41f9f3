package presence

import (
	"slices"

	"peal/server/share"
)

// Guest is one connection with a name, and the channels on which it is listed with
// their names: a peal.v1 client may use another name for some channels. It belongs
// to the goroutine of its connection.
//
// 48 bytes, because there may be one for each connection.
type Guest struct {
	person *person // of its first request; its account is that of the guest
	seat   *member // on which it is listed under that name; nil for none
	more   *[]seat // all other seats, nil for none

	// Self is the id of the session of the connection, which does not receive events about
	// its own joins; nil: it does.
	Self *[16]byte

	// Session is that of the connection, if whoever has the guest needs it.
	Session uint64

	// ByURL: the name is in its URL, and applies to all of its channels.
	ByURL bool

	// Dismissed: it was disconnected, and leaves without a grace period.
	Dismissed bool
}

// Is and Hash are for a table of guests by their sessions.
func (g *Guest) Is(session uint64) bool { return g.Session == session }
func (g *Guest) Hash() uint64           { return HashOf(g.Session) }

// HashOf is that of a guest of that session.
func HashOf(session uint64) uint64 {
	h := session * 0x9e37_79b9_7f4a_7c15
	return h ^ h>>32
}

func (g *Guest) table() *Table { return g.person.account.table }
func (g *Guest) by() share.Key { return g.person.account.share }

// seats calls f for each seat, until it returns false.
func (g *Guest) seats(f func(s seat) bool) {
	if g.seat != nil && !f(seat{g.seat.channel.name, g.person, g.seat}) || g.more == nil {
		return
	}
	for _, s := range *g.more {
		if !f(s) {
			return
		}
	}
}

// add adds a seat.
func (g *Guest) add(s seat) {
	switch {
	case g.seat == nil && s.member != nil && s.person == g.person:
		g.seat = s.member
	case g.more == nil:
		g.more = &[]seat{s}
	default:
		*g.more = append(*g.more, s)
	}
}

// seat is a channel on which the guest is listed, or has another name.
type seat struct {
	channel string
	person  *person
	member  *member // nil: not listed
}

// Enter returns the guest of a connection of that share. The strings are kept.
// End must follow.
func (t *Table) Enter(by share.Key, client, info string) *Guest {
	p := newPerson(client, info)
	t.accounts.enter(by, p)
	return &Guest{person: p}
}

// Client and Info are those of the guest's first request.
func (g *Guest) Client() string { return g.person.client() }
func (g *Guest) Info() string   { return g.person.info() }

// On is the name under which the guest is listed on a channel; ok is false if it is not.
func (g *Guest) On(channel string) (client string, ok bool) {
	for s := range g.seats {
		if s.channel == channel && s.member != nil {
			return s.person.client(), true
		}
	}
	return "", false
}

// Sit lists the guest under client, with info ("" for nothing new), on those of
// the channels for which listed is true and which have room. It returns the number
// of channels without room. It reports false, and has done nothing, if there is no
// room to remember a name that differs from the guest's own. The strings are kept.
func (g *Guest) Sit(channels []string, client, info string, listed func(i int) bool) (unlisted int, ok bool) {
	t, by := g.table(), g.by()
	a := &t.accounts
	p := g.person
	if client != p.client() || info != p.info() {
		p = newPerson(client, info)
		another := client != g.person.client()
		switch {
		case a.describe(by, p, len(channels)):
		case another:
			return 0, false
		default:
			p = g.person // without the new info
		}
	}
	if n := len(channels) - 1; n > 0 {
		if g.more == nil {
			g.more = new([]seat)
		}
		*g.more = slices.Grow(*g.more, n)
	}
	taken := 0
	for i, name := range channels {
		s := seat{channel: name, person: p}
		if listed(i) {
			if s.member = t.join(by, p, name, g.Self); s.member == nil {
				unlisted++
			}
		}
		if s.member != nil || p.client() != g.person.client() {
			g.add(s)
			taken++
		}
	}
	a.sit(by, p, taken, p != g.person)
	return unlisted, true
}

// Rise removes the guest from those of its channels for which which is true.
func (g *Guest) Rise(which func(channel string) bool) {
	if g.seat != nil && which(g.seat.channel.name) {
		g.leave(seat{g.seat.channel.name, g.person, g.seat})
		g.seat = nil
	}
	if g.more == nil {
		return
	}
	*g.more = slices.DeleteFunc(*g.more, func(s seat) bool {
		if !which(s.channel) {
			return false
		}
		g.leave(s)
		return true
	})
	if len(*g.more) == 0 {
		g.more = nil
	}
}

func (g *Guest) leave(s seat) {
	if s.member != nil {
		g.table().leave(s.member)
		if g.Dismissed {
			g.table().endGrace(s.member)
		}
	}
	g.table().accounts.rise(g.by(), s.person)
}

// End ends the guest with its connection. Call it once.
func (g *Guest) End() {
	for s := range g.seats {
		g.leave(s)
	}
	g.seat, g.more = nil, nil
	g.table().accounts.end(g.by(), g.person)
}

// Has reports whether named is true for one of the guest's names, on any channel.
func (g *Guest) Has(named func(client string) bool) bool {
	if named(g.person.client()) {
		return true
	}
	for s := range g.seats {
		if named(s.person.client()) {
			return true
		}
	}
	return false
}
