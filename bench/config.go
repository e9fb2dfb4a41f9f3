package bench

import "time"

// Config is what is measured and how long. All fields but the metrics' must be
// set; Full, Short and GateSizes are three sensible ones.
type Config struct {
	Peal    *Command
	Ceiling *Command

	Loops       int           // of Peal, where it is not compared with the one-threaded ceiling
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

// Short is a pass of a few minutes that shows that everything works; its results
// cannot be compared with the targets.
func Short() Config {
	return Config{Loops: 2, Length: time.Second, Settle: time.Second,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000}
}

// GateSizes is the configuration for comparing two builds, many samples of
// each: one sample of a Macro takes three seconds at most.
func GateSizes() Config {
	return Config{Loops: 2, Length: 800 * time.Millisecond, Settle: 500 * time.Millisecond,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000, Metrics: PealMetrics}
}

const (
	messageBytes   = 128      // of every message, unless a benchmark says otherwise
	slowBytes      = 4096     // of the slow consumer's
	largeBytes     = 16 << 10 // of the fan-out in which a copy shows
	resumeMessages = 100      // that each resuming client catches up on
)
