package bench

import "time"

// Config sets what is measured and for how long. Full, Short and GateSizes return
// sensible sizes.
type Config struct {
	Peal       *Command
	Ceiling    *Command
	Publishing *Command // the ceiling of publications over HTTP

	Loops       int           // of Peal, unless it is compared with the single-threaded ceiling
	Length      time.Duration // of each measured run
	Settle      time.Duration // before memory is read
	Subscribers int           // of the smaller fan-out, polls, channels
	Many        int           // of the larger fan-out, idle connections
	Channels    int           // of the HTTP publication row
	Publishers  int           // connections of the HTTP publication row; 0: 64
	Resuming    int           // clients that resume at once
	OpenRate    float64       // messages per second of the open loop; 0: half of the ceiling's closed loop

	Metrics Metrics
}

// Full is the configuration of the table of BENCHMARKS.md.
func Full() Config {
	return Config{Loops: 2, Length: 4 * time.Second, Settle: 4 * time.Second,
		Subscribers: 5_000, Many: 15_000, Channels: 10_000, Resuming: 10_000}
}

// Short is a pass of a few minutes that shows that everything works. Its results
// cannot be compared with the targets.
func Short() Config {
	return Config{Loops: 2, Length: time.Second, Settle: time.Second,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000}
}

// GateSizes is the configuration for comparing two builds, many samples of
// each: one sample of a Macro takes two seconds at most, so that the set pull-request
// of gate.yaml takes six minutes at most.
func GateSizes() Config {
	return Config{Loops: 2, Length: 600 * time.Millisecond, Settle: 500 * time.Millisecond,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000, Metrics: PealMetrics}
}

const (
	messageBytes   = 128      // size of every message, unless a benchmark sets another
	slowBytes      = 4096     // size of messages to the slow consumer
	largeBytes     = 16 << 10 // size of messages in the fan-out where a copy is visible
	resumeMessages = 100      // missed by each resuming client
)
