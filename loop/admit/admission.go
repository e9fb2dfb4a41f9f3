package admit

import (
	"sync"
	"time"
)

// Reason says why a connection is refused.
type Reason uint8

const (
	None        Reason = iota // it is not
	Full                      // Limits.Connections
	Address                   // Limits.PerAddress
	AddressRate               // Limits.AddressRate
	Memory                    // Admission.Press
	reasons
)

// names are the values of a label of metrics.
var names = [reasons]string{"", "connections", "address", "address_rate", "memory"}

func (r Reason) String() string { return names[r] }

// Reasons are those to refuse a connection.
func Reasons() (all []Reason) {
	for r := None + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}

// Limits are the limits of new connections. Zero values are no limits, but for
// Connections and RefusalRate: without them every connection is refused, and none with a response.
type Limits struct {
	Connections int  // at a time
	PerAddress  int  // of one address at a time
	Rate        Rate // new connections; beyond it accepting pauses
	AddressRate Rate // new connections of one address

	// Refusals with a response, and as many as the Burst at a time; FullAtOnce of those
	// that are refused for Full, which have descriptors beyond Connections.
	RefusalRate Rate
	FullAtOnce  int
}

// Client is the address of a connection that is to be admitted.
type Client struct {
	Key     uint64
	Limited bool // the limits of addresses hold for it
}

// Admission decides about connections in the order in which they come.
//
// Any goroutine may call it, but for Admit and Pause: the one that accepts.
type Admission struct {
	counts   Counts
	Refusals Refusals

	mu      sync.Mutex // held for nanoseconds
	limits  Limits
	total   Bucket
	buckets Buckets
	pressed bool
	by      [reasons]uint64 // refusals
	pauses  uint64
}

// New returns an Admission with those limits; seed is that of NewBuckets.
func New(l Limits, seed uint64) *Admission { return &Admission{limits: l, buckets: NewBuckets(seed)} }

// Limit changes the limits. Connections that are there stay.
func (a *Admission) Limit(l Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = l
}

// Press says whether the memory of the process is beyond its mark.
func (a *Admission) Press(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pressed = on
}

// Pause returns how long accepting must pause for the total rate, 0 if it need not.
func (a *Admission) Pause(now time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := a.total.Wait(a.limits.Rate, now)
	if wait > 0 {
		a.pauses++
	}
	return wait
}

// Admit decides about a connection beside open others. If it is limited by address and
// admitted, it is counted, and Leave must follow. wait is at least how long the client
// must stay away.
//
// An address that is beyond its own limits takes nothing from the total rate.
func (a *Admission) Admit(c Client, open int, now time.Duration) (why Reason, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	why, wait = a.address(c, now)
	counted := why == None && c.Limited
	if why == None {
		a.total.Take(a.limits.Rate, now)
		switch {
		case a.pressed:
			why = Memory
		case open >= a.limits.Connections:
			why = Full
		}
	}
	if why != None && counted {
		a.counts.Leave(c.Key)
	}
	return why, a.refuse(why, wait, now)
}

// Name decides about a connection that was admitted, and whose client has another address
// than its connection, by the limits of that address. What Admit says of counting
// holds for it.
func (a *Admission) Name(c Client, now time.Duration) (why Reason, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	why, wait = a.address(c, now)
	return why, a.refuse(why, wait, now)
}

// Count counts a connection of an address without deciding about it, because Full was
// asked before. Leave must follow.
func (a *Admission) Count(key uint64) {
	a.mu.Lock()
	a.counts.Enter(key, 0)
	a.mu.Unlock()
}

// Full reports whether the address has as many connections as it may.
func (a *Admission) Full(key uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limits.PerAddress > 0 && a.counts.Of(key) >= a.limits.PerAddress
}

// Room reports whether a connection would be admitted beside open others, but for its address.
func (a *Admission) Room(open int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.pressed && open < a.limits.Connections
}

// Leave ends a connection that was counted.
func (a *Admission) Leave(key uint64) {
	a.mu.Lock()
	a.counts.Leave(key)
	a.mu.Unlock()
}

// address decides by the limits of one address, and counts it; a.mu is held.
func (a *Admission) address(c Client, now time.Duration) (why Reason, wait time.Duration) {
	if !c.Limited {
		return None, 0
	}
	if wait := a.buckets.Take(c.Key, a.limits.AddressRate, now); wait > 0 {
		return AddressRate, wait
	}
	if !a.counts.Enter(c.Key, a.limits.PerAddress) {
		return Address, 0
	}
	return None, 0
}

// refuse counts a refusal, if it is one; a.mu is held.
func (a *Admission) refuse(why Reason, wait, now time.Duration) time.Duration {
	if why != None {
		a.by[why]++
		a.Refusals.count(now)
	}
	return wait
}

// Polite reports whether a connection that is refused for that reason gets a response,
// and when its client is to come back, at least after wait. Refusals.End must follow
// after true.
func (a *Admission) Polite(why Reason, wait, now time.Duration, random func(n int64) int64) (retry time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rate := a.limits.RefusalRate
	atOnce := rate.Burst
	if why == Full {
		atOnce = min(atOnce, a.limits.FullAtOnce)
	}
	if !rate.IsOn() || !a.Refusals.begin(rate, atOnce, now) {
		return 0, false
	}
	return a.Refusals.retry(rate, wait, random), true
}

// Stats is what was refused, and how often accepting paused for the total rate.
type Stats struct {
	Refused   map[string]uint64 // by Reason
	Pauses    uint64
	Open      int // refusals under way
	Addresses int // that have connections and are limited
}

// Stats returns the counters.
func (a *Admission) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{Refused: make(map[string]uint64, reasons), Pauses: a.pauses, Open: a.Refusals.Open(), Addresses: a.counts.Len()}
	for _, r := range Reasons() {
		s.Refused[r.String()] = a.by[r]
	}
	return s
}

// Connections is how many connections of an address are counted.
func (a *Admission) Connections(key uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts.Of(key)
}
