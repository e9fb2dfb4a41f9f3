package subscribe

// NameOf is the name of the client of a session: the one it has given, or that of its
// token; "" for none.
func (g *Guests) NameOf(session uint64) string {
	if guest := g.Of(session); guest != nil && guest.Client() != "" {
		return guest.Client()
	}
	if proven := g.grants[session]; proven != nil {
		return proven.Subject
	}
	return g.brought[session].User
}

// Goes reports whether a session goes by that name, by its token, its URL or for a channel
// that it has. Unlike Dismiss it changes nothing.
func (g *Guests) Goes(session uint64, name string) bool {
	if proven := g.grants[session]; proven != nil && proven.Subject == name {
		return true
	}
	guest := g.Of(session)
	return guest != nil && guest.Has(func(client string) bool { return client == name }) || g.brought[session].User == name
}
