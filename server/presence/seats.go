package presence

// Seat is a channel on which a Guest is listed, or has another name than its own.
type Seat struct {
	Channel      string
	Client, Info string
	Listed       bool
}

// Seats appends the guest's, in the order in which it took them.
func (g *Guest) Seats(dst []Seat) []Seat {
	for i := range g.seats {
		s := &g.seats[i]
		dst = append(dst, Seat{s.channel, s.person.client, s.person.info, s.member != nil})
	}
	return dst
}
