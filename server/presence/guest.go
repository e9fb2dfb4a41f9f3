package presence

import (
	"slices"

	"peal/server/share"
)

// Guest is one connection with a name, and where it is listed under which: a
// peal.v1 client may give another name for some channels. It belongs to the
// goroutine of its connection.
type Guest struct {
	table  *Table
	by     share.Key
	person *person // as its first request said
	seats  []seat

	// ByURL says that its URL named it, for all of its channels.
	ByURL bool

	// Dismissed says that it ends by request and leaves without a grace period.
	Dismissed bool
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
	p := &person{client: client, info: info}
	t.accounts.enter(by, p)
	return &Guest{table: t, by: by, person: p}
}

// Client and Info are what the guest's first request said.
func (g *Guest) Client() string { return g.person.client }
func (g *Guest) Info() string   { return g.person.info }

// Sit lists the guest on channels, under client and with info about it ("" for
// nothing new): on those for which listed says so and where there is room. It
// returns on how many of these there is none. It reports false, and has done
// nothing, if there is no room to remember another name than that of the guest.
// The strings are kept.
func (g *Guest) Sit(channels []string, client, info string, listed func(i int) bool) (unlisted int, ok bool) {
	a := &g.table.accounts
	p := g.person
	if client != p.client || info != p.info {
		p = &person{client: client, info: info}
		another := client != g.person.client
		switch {
		case a.describe(g.by, p, len(channels)):
		case another:
			return 0, false
		default:
			p = g.person // without what is new about it
		}
	}
	before := len(g.seats)
	g.seats = slices.Grow(g.seats, len(channels))
	for i, name := range channels {
		s := seat{channel: name, person: p}
		if listed(i) {
			if s.member = g.table.join(g.by, p, name); s.member == nil {
				unlisted++
			}
		}
		if s.member != nil || p.client != g.person.client {
			g.seats = append(g.seats, s)
		}
	}
	a.sit(g.by, p, len(g.seats)-before, p != g.person)
	return unlisted, true
}

// Rise takes the guest from those of its channels that which picks.
func (g *Guest) Rise(which func(channel string) bool) {
	g.seats = slices.DeleteFunc(g.seats, func(s seat) bool {
		if !which(s.channel) {
			return false
		}
		g.leave(s)
		return true
	})
}

func (g *Guest) leave(s seat) {
	if s.member != nil {
		g.table.leave(s.member)
		if g.Dismissed {
			g.table.endGrace(s.member)
		}
	}
	g.table.accounts.rise(g.by, s.person)
}

// End is the end of the connection, once.
func (g *Guest) End() {
	for _, s := range g.seats {
		g.leave(s)
	}
	g.seats = nil
	g.table.accounts.end(g.by, g.person)
}

// Is reports whether the guest has one of the names, on any of its channels.
func (g *Guest) Is(named func(client string) bool) bool {
	return named(g.person.client) || slices.ContainsFunc(g.seats, func(s seat) bool { return named(s.person.client) })
}
