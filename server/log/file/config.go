package file

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"peal/server/log"
)

// Policies of Config.Fsync.
const (
	Always   = "always"   // shown to subscribers, and done, only once synced
	Interval = "interval" // synced within Config.FsyncInterval after it was shown
	Never    = "never"    // when the kernel likes; by us only where a segment ends
)

// Defaults of Config.
const (
	DefaultFsync         = Interval
	DefaultFsyncInterval = 100 * time.Millisecond
	DefaultSegmentBytes  = 64 << 20
	DefaultTotalBytes    = 1 << 30
	DefaultAge           = 24 * time.Hour
	DefaultQueueEntries  = 1 << 14
	DefaultQueueBytes    = 32 << 20
)

// Config is what Open needs to know. Its zero value is the documented default.
type Config struct {
	// Fsync is one of the policies; default interval.
	Fsync string

	// FsyncInterval is how long after it was written an entry may stay unsynced
	// under the policy interval; default 100 ms. Raising it makes a power failure
	// cost more messages and saves syncs.
	FsyncInterval time.Duration

	// SegmentBytes is the size at which a segment ends; default 64 MiB. A larger
	// batch has a segment of its own. Raising it makes retention coarser.
	SegmentBytes int

	// TotalBytes and Age say how much is retained; defaults 1 GiB and 24 h,
	// negative for no limit. Whole segments go, the oldest first, never the
	// active one: up to a segment more than TotalBytes is kept, and entries up to
	// twice Age. Raising them costs disk, and time at the start, which reads all.
	TotalBytes int
	Age        time.Duration

	// QueueEntries and QueueBytes bound what is accepted and not yet shown;
	// defaults 16,384 and 32 MiB, and as much again for control entries alone. Beyond
	// either, append answers log.ErrFull.
	// Raising them costs that memory and makes publishers wait longer.
	QueueEntries, QueueBytes int

	Log *slog.Logger // default slog.Default()
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var faults []error
	switch c.Fsync {
	case "", Always, Interval, Never:
	default:
		faults = append(faults, fmt.Errorf("log: fsync %q: must be %s, %s or %s", c.Fsync, Always, Interval, Never))
	}
	if d := c.WithDefaults(); d.TotalBytes > 0 && d.TotalBytes < d.SegmentBytes {
		faults = append(faults, fmt.Errorf("log: %d B in all, segments of %d B: the first must be at least the second", d.TotalBytes, d.SegmentBytes))
	}
	return errors.Join(faults...)
}

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	if c.Fsync == "" {
		c.Fsync = DefaultFsync
	}
	if c.FsyncInterval <= 0 {
		c.FsyncInterval = DefaultFsyncInterval
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.TotalBytes == 0 {
		c.TotalBytes = DefaultTotalBytes
	}
	if c.Age == 0 {
		c.Age = DefaultAge
	}
	if c.QueueEntries <= 0 {
		c.QueueEntries = DefaultQueueEntries
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = DefaultQueueBytes
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// MaxMessageBytes is the largest data of an entry that the engine takes: a
// record must stay below log.MaxEntryBytes with all that goes with the data.
const MaxMessageBytes = log.MaxEntryBytes / 2
