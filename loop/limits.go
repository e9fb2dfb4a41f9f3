package loop

import (
	"log/slog"
	"time"

	"peal/loop/admit"
	"peal/loop/fanout"
)

// Config sets the limits of a Group. Zero values are the defaults.
type Config struct {
	Loops          int           // event loops; default 1. More than GOMAXPROCS gains nothing.
	MaxConnections int           // on all loops together; default what the descriptor limit leaves, less a margin. Beyond it connections are refused with 503.
	Admission      admit.Limits  // of new connections; Connections and FullAtOnce are not used. Zero values are no limits, and no refusal with a response.
	Heads          int           // unfinished requests of all loops; default 20,000. Beyond it those of the addresses with the most are closed.
	Inflow         Inflow        // of each connection
	MessageBytes   int           // one WebSocket message; default 64 KiB. Beyond it close 1009.
	HeadTimeout    time.Duration // a request head must be whole this long after its first byte; a request with its body, and a WebSocket message, have a second more for each KiB that has come of body and message; default 10 s. Beyond it the front refuses the request (Call.Late), and the WebSocket is closed.
	IdleTimeout    time.Duration // a connection between requests, and before its first; default 75 s
	Heartbeat      time.Duration // to a silent stream, ± 20 %; default 20 s. A WebSocket that answers two of them with nothing is closed.
	LingerTimeout  time.Duration // how long a refused or closing client may take to hang up; default 2 s
	InputBytes     int           // unread and unfinished input of all connections of a loop; default 64 MiB. Beyond it those that hold most are closed, counted with their shares (Parts.Share).
	ParkedBytes    int           // unread input kept of a connection that waits for an answer; default 8 KiB. Beyond it reading pauses.
	Channels       int           // channels with subscribers on a loop; default 1,048,576. Beyond it the connections with most channels are closed, counted with their shares. Each costs about 1 KiB.
	TurnSends      int           // sends in one turn before events are read again; default 512
	TurnWork       int           // work on what clients sent in one turn before events are read again, in units of about 1 µs; one connection has a quarter of it at a time; default 500
	DrainRate      int           // connections a second to which a drain says good-bye; default 500. A drain is faster where its time would not be enough.
	Fanout         fanout.Limits
	Log            *slog.Logger // default slog.Default()
}

// DescriptorMargin is how many descriptors are kept free under the descriptor
// limit: listeners, logs, the engine's files, profiles, connections that are being refused, and two for each loop.
func DescriptorMargin(loops int) int { return 128 + fullAtOnce + 2*loops }

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	duration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&c.Loops, 1)
	number(&c.MaxConnections, DescriptorLimit()-DescriptorMargin(c.Loops))
	number(&c.MessageBytes, 64<<10)
	number(&c.Heads, 20_000)
	duration(&c.HeadTimeout, 10*time.Second)
	duration(&c.IdleTimeout, 75*time.Second)
	duration(&c.Heartbeat, 20*time.Second)
	duration(&c.LingerTimeout, 2*time.Second)
	number(&c.InputBytes, 64<<20)
	number(&c.ParkedBytes, 8<<10)
	number(&c.Channels, 1<<20)
	number(&c.TurnSends, 512)
	number(&c.TurnWork, 500)
	number(&c.DrainRate, DefaultDrainRate)
	c.Fanout = c.Fanout.WithDefaults()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// tick is the unit of the timing wheel.
const tick = time.Second

func ticks(d time.Duration) uint32 { return max(1, uint32((d+tick-1)/tick)) }
