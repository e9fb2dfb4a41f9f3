package presence

import (
	"slices"

	"peal/server/share"
)

// Guest is one connection with a name, and the channels on which it is listed with
// their names: a peal.v1 client may use another name for some channels. It belongs
// to the goroutine of its connection.
type Guest struct {
	table  *Table
	by     share.Key
	person *person // of its first request
	seats  []seat

	// ByURL: the name is in its URL, and applies to all of its channels.
	ByURL bool

	// Self is the id of the session of the connection, which does not receive events about
	// its own joins; nil: it does.
	Self *[16]byte

	// Dismissed: it was disconnected, and leaves without a grace period.
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

// Client and Info are those of the guest's first request.
func (g *Guest) Client() string { return g.person.client }
func (g *Guest) Info() string   { return g.person.info }

// On is the name under which the guest is listed on a channel; ok is false if it is not.
func (g *Guest) On(channel string) (client string, ok bool) {
	for i := range g.seats {
		if s := &g.seats[i]; s.channel == channel && s.member != nil {
			return s.person.client, true
		}
	}
	return "", false
}

// Sit lists the guest under client, with info ("" for nothing new), on those of
// the channels for which listed is true and which have room. It returns the number
// of channels without room. It reports false, and has done nothing, if there is no
// room to remember a name that differs from the guest's own. The strings are kept.
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
			p = g.person // without the new info
		}
	}
	before := len(g.seats)
	g.seats = slices.Grow(g.seats, len(channels))
	for i, name := range channels {
		s := seat{channel: name, person: p}
		if listed(i) {
			if s.member = g.table.join(g.by, p, name, g.Self); s.member == nil {
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

// Rise removes the guest from those of its channels for which which is true.
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

// End ends the guest with its connection. Call it once.
func (g *Guest) End() {
	for _, s := range g.seats {
		g.leave(s)
	}
	g.seats = nil
	g.table.accounts.end(g.by, g.person)
}

// Is reports whether named is true for one of the guest's names, on any channel.
func (g *Guest) Is(named func(client string) bool) bool {
	return named(g.person.client) || slices.ContainsFunc(g.seats, func(s seat) bool { return named(s.person.client) })
}
