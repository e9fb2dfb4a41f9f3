package admit

import "time"

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
type Admission struct {
	Limits
	Counts   *Counts
	Refusals Refusals

	total   Bucket
	buckets Buckets
	pressed bool
	by      [reasons]uint64 // refusals
	pauses  uint64
}

// New returns an Admission without limits; seed is that of NewBuckets.
func New(counts *Counts, seed uint64) *Admission {
	return &Admission{Counts: counts, buckets: NewBuckets(seed)}
}

// Press says whether the memory of the process is beyond its mark.
func (a *Admission) Press(on bool) { a.pressed = on }

// Pause returns how long accepting must pause for the total rate, 0 if it need not.
func (a *Admission) Pause(now time.Duration) time.Duration {
	wait := a.total.Wait(a.Rate, now)
	if wait > 0 {
		a.pauses++
	}
	return wait
}

// Admit decides about a connection beside open others. If it is limited by address and
// admitted, it is counted, and Counts.Leave must follow. wait is at least how long the
// client must stay away.
//
// An address that is beyond its own limits takes nothing from the total rate.
func (a *Admission) Admit(c Client, open int, now time.Duration) (why Reason, wait time.Duration) {
	if why, wait = a.admitAddress(c, now); why != None {
		a.refuse(why, now)
		return why, wait
	}
	a.total.Take(a.Rate, now)
	switch {
	case a.pressed:
		why = Memory
	case open >= a.Connections:
		why = Full
	case c.Limited && !a.Counts.Enter(c.Key, a.PerAddress):
		why = Address // others of the address have come in between
	}
	if why != None {
		a.refuse(why, now)
	}
	return why, 0
}

func (a *Admission) admitAddress(c Client, now time.Duration) (why Reason, wait time.Duration) {
	if !c.Limited {
		return None, 0
	}
	if wait := a.buckets.Take(c.Key, a.AddressRate, now); wait > 0 {
		return AddressRate, wait
	}
	if a.PerAddress > 0 && a.Counts.Of(c.Key) >= a.PerAddress {
		return Address, 0
	}
	return None, 0
}

func (a *Admission) refuse(why Reason, now time.Duration) {
	a.by[why]++
	a.Refusals.count(now)
}

// Polite reports whether a connection that is refused for that reason gets a response.
// Refusals.End must follow after true.
func (a *Admission) Polite(why Reason, now time.Duration) bool {
	atOnce := a.RefusalRate.Burst
	if why == Full {
		atOnce = min(atOnce, a.FullAtOnce)
	}
	return a.RefusalRate.IsOn() && a.Refusals.Begin(a.RefusalRate, atOnce, now)
}

// Retry is when a client that was refused is to come back.
func (a *Admission) Retry(wait time.Duration, random func(n int64) int64) time.Duration {
	return a.Refusals.Retry(a.RefusalRate, wait, random)
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
	s := Stats{Refused: make(map[string]uint64, reasons), Pauses: a.pauses, Open: a.Refusals.Open(), Addresses: a.Counts.Len()}
	for r := None + 1; r < reasons; r++ {
		s.Refused[r.String()] = a.by[r]
	}
	return s
}
