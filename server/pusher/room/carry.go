package room

import (
	"fmt"

	"peal/loop"
)

// Carried is what a Room knows of a connection, as plain data for another process.
type Carried struct {
	App      string // its id
	User     string // that has signed in, with the namespace; "" for none
	Counting []Told
}

// Told is a channel, and the number of its subscribers that the client has been told.
type Told struct {
	Channel string // with the namespace
	Number  int
}

// Carry returns it; nil for a connection of another protocol.
func (r *Room) Carry(session uint64) *Carried {
	k := r.connections[session]
	if k == nil {
		return nil
	}
	c := &Carried{App: k.app.ID, User: k.user}
	for _, p := range r.counting.places[session] {
		c.Counting = append(c.Counting, Told{p.channel.name, p.channel.told})
	}
	return c
}

// Mark is what Carry returns for most sessions, to be compared with ==. ok is false if there is more. A connection
// is not changed, but replaced.
type Mark struct{ connection *connection }

// Mark returns it.
func (r *Room) Mark(session uint64) (m Mark, ok bool) {
	return Mark{r.connections[session]}, len(r.counting.places[session]) == 0
}

// Restore has the connection be what c says. It fails if the app is not served any more.
func (r *Room) Restore(c loop.Client, from *Carried) error {
	a := r.Gate.Apps.ByID(from.App)
	if a == nil {
		return fmt.Errorf("the app %q is not configured any more", from.App)
	}
	session := c.Session()
	r.Arrive(session, a, &loop.Subscription{})
	if from.User != "" {
		r.connections[session] = &connection{app: a, user: from.User}
	}
	for _, t := range from.Counting {
		r.counting.add(c, t.Channel, t.Number)
	}
	return nil
}
