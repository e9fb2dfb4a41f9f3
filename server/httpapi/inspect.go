package httpapi

import (
	"peal/loop"
	"peal/server/grant"
)

// About has what a Front knows about the client of a connection, and no secrets.
type About struct {
	Kind    grant.Kind
	Name    string // the one it has given itself, or that of its token; of a backend that of its key
	Info    string // what presence shows of it
	Token   string // jti of its token
	Expires int64  // of its token or key, in seconds since 1970; 0 for never
	Backend string // the name that the backend has given it (ask)
}

var _ loop.Namer = (*Front)(nil)

// NameOf implements loop.Namer: the name that guests have, or the user that has signed in (Pusher).
func (f *Front) NameOf(session uint64) string {
	if name := f.guests.NameOf(session); name != "" {
		return name
	}
	return f.pusher.UserOf(session)
}

// Goes reports whether the connection of that session goes by that name. On its
// loop's goroutine.
func (f *Front) Goes(session uint64, name string) bool {
	return f.guests.Goes(session, name) || name != "" && f.pusher.UserOf(session) == name
}

// About returns what is known about the client of a session. On its loop's goroutine.
func (f *Front) About(session uint64) About {
	w := About{Name: f.NameOf(session), Backend: f.guests.Brought(session).User}
	if guest := f.guests.Of(session); guest != nil {
		w.Info = guest.Info()
	}
	if g := f.guests.Grant(session); g != nil {
		w.Kind, w.Token, w.Expires = g.Kind, g.ID, g.Expires
		if w.Info == "" && !g.Topics {
			w.Info = g.Info
		}
	}
	return w
}
