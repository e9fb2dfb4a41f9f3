package ring

// RoomWithoutLastLook is Room as it would be if it did not look again behind its notice: what
// a reader takes between its no and the notice signals nothing.
func (r *Ring) RoomWithoutLastLook(messages, bytes int, between func()) bool {
	r.reclaim()
	if r.fits(messages, bytes) {
		return true
	}
	between()
	r.notice.Or(noticeRoom)
	return false
}
