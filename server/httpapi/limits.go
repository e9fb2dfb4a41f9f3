package httpapi

import (
	"errors"
	"fmt"
	"time"

	"peal/server/ban"
	"peal/server/rate"
)

// Limits bound what one request may ask for. Zero values are the defaults.
type Limits struct {
	HeadLimit     int // bytes of a request head; default 8 KiB. Beyond it 414 or 431.
	ChannelLimit  int // channels of one connection or publication; default 128. Beyond it 400, or close 4413.
	BatchLimit    int // bytes of a batch's body; default 1 MiB. Beyond it 413.
	BatchMessages int // messages of a batch; default 1000. Beyond it 400.

	// BatchEntries bounds what a batch becomes: a message counts once for each of
	// its channels. Default 8,192, at least ChannelLimit. Beyond it messages are
	// refused, one by one, with 413.
	BatchEntries int

	// PollTimeout is how long a poll is held that does not say; what it says is
	// clamped to the other two. Defaults 25 s, 1 s and 120 s. They count in whole
	// seconds, rounded up.
	PollTimeout, MinPollTimeout, MaxPollTimeout time.Duration

	// Rates are how often clients may publish and give commands. Default none.
	Rates rate.Limits

	// UserConnections is how many streams, polls and WebSockets a user (sub of the token) may
	// have; default no limit. Beyond it 429, or close 4429.
	UserConnections int

	// DisconnectWindow is how long a disconnected client is kept away where the
	// request does not say; default 60 s, negative for not at all. At most
	// MaxDisconnectWindow.
	DisconnectWindow time.Duration
}

// MaxDisconnectWindow is the longest that a disconnected client is kept away.
const MaxDisconnectWindow = ban.Longest

// WithDefaults returns l with its zero values filled in. The default of
// PollTimeout is within the other two.
func (l Limits) WithDefaults() Limits {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	duration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	for _, limit := range []*rate.Limit{&l.Rates.Connection, &l.Rates.Key, &l.Rates.User} {
		if !limit.IsSet() {
			*limit = rate.Off
		}
	}
	number(&l.HeadLimit, 8<<10)
	number(&l.ChannelLimit, 128)
	number(&l.BatchLimit, 1<<20)
	number(&l.BatchMessages, 1000)
	number(&l.BatchEntries, max(8192, l.ChannelLimit))
	duration(&l.MinPollTimeout, time.Second)
	duration(&l.MaxPollTimeout, max(120*time.Second, l.MinPollTimeout, l.PollTimeout))
	number(&l.UserConnections, -1)
	if l.DisconnectWindow == 0 {
		l.DisconnectWindow = time.Minute
	}
	duration(&l.PollTimeout, max(l.MinPollTimeout, min(25*time.Second, l.MaxPollTimeout)))
	return l
}

// Validate reports all faults of l at once.
func (l Limits) Validate() error {
	l = l.WithDefaults()
	var faults []error
	if l.MinPollTimeout > l.MaxPollTimeout {
		faults = append(faults, fmt.Errorf("config: poll timeout of at least %v and at most %v: the first must not be greater", l.MinPollTimeout, l.MaxPollTimeout))
	} else if l.PollTimeout < l.MinPollTimeout || l.PollTimeout > l.MaxPollTimeout {
		faults = append(faults, fmt.Errorf("config: poll timeout %v: must be between the least, %v, and the greatest, %v", l.PollTimeout, l.MinPollTimeout, l.MaxPollTimeout))
	}
	for name, limit := range map[string]rate.Limit{"rate-connection": l.Rates.Connection, "rate-key": l.Rates.Key, "rate-user": l.Rates.User} {
		if err := limit.Check(); err != nil {
			faults = append(faults, fmt.Errorf("config: %s %s: %w", name, limit, err))
		}
	}
	if l.DisconnectWindow > MaxDisconnectWindow {
		faults = append(faults, fmt.Errorf("config: disconnected clients are kept away for %v: must be at most %v", l.DisconnectWindow, MaxDisconnectWindow))
	}
	return errors.Join(faults...)
}
