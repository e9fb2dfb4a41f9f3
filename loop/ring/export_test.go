package ring

import "runtime"

// RoomWithoutLastLook is Room as it would be if it did not look again behind wanted: what
// a reader takes between its no and wanted signals nothing.
func (r *Ring) RoomWithoutLastLook(messages, bytes int) bool {
	r.reclaim()
	if r.fits(messages, bytes) {
		return true
	}
	runtime.Gosched() // a reader takes something now
	r.wanted.Store(true)
	return false
}
