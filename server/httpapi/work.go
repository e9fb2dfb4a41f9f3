package httpapi

import "peal/loop"

// What requests and commands cost a loop beside their bytes, in its units of about
// a microsecond: see loop.Call.Work.
const (
	workCommand = 6 // parsed by encoding/json, and answered
	workEntry   = 2 // one channel of a publication: numbered, kept, handed to the loops
	workName    = 1 // one channel of a set that is looked up and sorted
	workSeat    = 2 // one channel on which a client is listed
)

// cost is what the subscription s costs beside what the fan-out counts.
func (f *Front) cost(s *loop.Subscription) int {
	work := workName * len(f.picked)
	if s.Named {
		work += workSeat * len(f.picked)
	}
	return work
}
