package server

import (
	"time"

	"peal/loop"
	"peal/loop/admit"
	"peal/server/rate"
)

// Admission limits new connections. Zero values are the defaults; rate.Off and negative
// numbers are no limits.
type Admission struct {
	// PerAddress is how many connections an IPv4 address or IPv6 /64 may have, default half of
	// Loop.MaxConnections. Loopback addresses, Unix sockets and trusted proxies are not
	// limited by address.
	PerAddress int

	// Rate is how many connections are accepted, default 50000/s burst 100000; beyond it those that
	// connect wait in the kernel's backlog. AddressRate is how many of one address, default 200/s
	// burst 2000; beyond it they are refused.
	Rate, AddressRate rate.Limit

	// Refusals is how many refused connections get a response, default 500/s; the burst
	// is also how many at a time. Beyond it they are closed without one.
	Refusals rate.Limit
}

// Input limits what comes on each connection.
type Input struct {
	// Bytes are those of a second, at least 4 KiB; default no limit. Beyond it the server stops reading from the
	// connection until the next second.
	Bytes int

	// Frames are those of a WebSocket, fragments and control frames included; default
	// 10000/s burst 50000. Beyond it close 4429.
	Frames rate.Limit
}

func (i Input) withDefaults() Input {
	if i.Bytes <= 0 {
		i.Bytes = -1
	}
	if !i.Frames.IsSet() {
		i.Frames = rate.Limit{Count: 10_000, Per: time.Second, Burst: 50_000}
	}
	return i
}

// inflow is the limit of a loop, which counts in seconds.
func (i Input) inflow() (f loop.Inflow) {
	f.Bytes = max(0, i.Bytes)
	if i.Frames.IsOn() {
		f.Frames, f.FramesBurst = max(1, i.Frames.Count*int(time.Second)/int(i.Frames.Per)), i.Frames.Burst
	}
	return f
}

func (a Admission) withDefaults(connections int) Admission {
	if a.PerAddress == 0 {
		a.PerAddress = max(1, connections/2)
	}
	limit := func(l *rate.Limit, count, burst int) {
		if !l.IsSet() {
			*l = rate.Limit{Count: count, Per: time.Second, Burst: burst}
		}
	}
	limit(&a.Rate, 50_000, 100_000)
	limit(&a.AddressRate, 200, 2000)
	limit(&a.Refusals, 500, 500)
	return a
}

// limits are those of a loop.Group.
func (a Admission) limits() admit.Limits {
	return admit.Limits{PerAddress: max(0, a.PerAddress), Rate: admitRate(a.Rate), AddressRate: admitRate(a.AddressRate), RefusalRate: admitRate(a.Refusals)}
}

func admitRate(l rate.Limit) admit.Rate {
	if !l.IsOn() {
		return admit.Rate{}
	}
	return admit.Rate{Interval: l.Per / time.Duration(l.Count), Burst: l.Burst}
}
