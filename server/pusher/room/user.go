package room

// UserOf is the user that has signed in on the connection of a session, with the namespace of its app; "" for
// none.
func (r *Room) UserOf(session uint64) string {
	if k := r.connections[session]; k != nil {
		return k.user
	}
	return ""
}
