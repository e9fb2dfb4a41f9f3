package server

import (
	"sync"

	"peal/loop"
	"peal/server/httpapi"
	"peal/server/share"
)

// dismisser ends the connections of clients on all loops, for httpapi.
type dismisser struct {
	loops *loop.Group // fixed

	mu       sync.Mutex
	underWay share.Ledger[struct{}] // dismissals
}

// dismissalsOfShare is how many dismissals of one share may be under way: half of
// what the loops take.
const dismissalsOfShare = 32

// Dismiss ends the connections of clients; see httpapi.Dismisser.
func (d *dismisser) Dismiss(by share.Key, pick func(*httpapi.Front, uint64) *loop.Ending, done func(ended int)) bool {
	if !d.begin(by) {
		return false
	}
	ok := d.loops.Dismiss(func(front loop.Front, session uint64) *loop.Ending { return pick(front.(*httpapi.Front), session) }, func(n int) {
		d.end(by)
		done(n)
	})
	if !ok {
		d.end(by)
	}
	return ok
}

func (d *dismisser) begin(by share.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.underWay.Open(by)
	if a.Held() >= dismissalsOfShare {
		return false
	}
	d.underWay.Add(a, 1)
	return true
}

func (d *dismisser) end(by share.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.underWay.Add(d.underWay.Open(by), -1)
}
