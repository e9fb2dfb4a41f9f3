package hub

import (
	"errors"
	"fmt"
	"time"

	"peal/server/log"
	"peal/server/rules"
)

// Defaults of Config.
const (
	DefaultMessages   = 1000
	DefaultBytes      = 1 << 20
	DefaultAge        = 10 * time.Minute
	DefaultTotalBytes = 256 << 20

	DefaultForgottenBytes = 16 << 20
)

// Limits says how much history one channel retains: the newest publications
// within all three.
type Limits struct {
	// Messages is the number of publications; default 1,000; negative for no
	// history. Each costs 8 bytes beyond what Bytes counts.
	Messages int

	// Bytes is the sum of their sizes as log.Entry.Size counts them, at least
	// log.EntryOverhead each; default 1 MiB. A larger publication is delivered
	// but not retained.
	Bytes int

	// Age is how long a publication is retained, to the millisecond; default 10
	// minutes. An entry with a TTL is retained for the shorter of the two, and
	// when it expires takes what is older in its channel with it: what a gap
	// covers is not delivered.
	Age time.Duration
}

// Config is what New needs to know. Its zero value is the documented default.
type Config struct {
	// Limits applies to each channel, unless there are Rules.
	Limits Limits

	// Rules say the limits of each channel. Default: Limits for all. The server
	// makes them of what the operator set.
	Rules *rules.Table

	// TotalBytes bounds the histories of all channels; default 256 MiB. Beyond
	// it the oldest publications of the least recently published channel go; it
	// is exceeded by the entry being appended at most. Encodings that are kept
	// with messages come on top of it: Hub.Encodings.
	TotalBytes int

	// ForgottenBytes bounds what is remembered of channels that were forgotten,
	// having neither subscribers nor history: 16 bytes for each, in tables of a
	// power of two of which an eighth stays free. Default 16 MiB, for 917,504
	// channels; negative for none. Beyond it those whose messages are the oldest
	// share 65,536 watermarks, and a reader with a cursor before such a message
	// may be told a gap that is none on a channel that had none. The memory is
	// taken when it is needed.
	ForgottenBytes int
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var faults []error
	if c.Limits.Bytes != 0 && c.Limits.Bytes < log.EntryOverhead {
		faults = append(faults, fmt.Errorf("hub: history of %d B per channel: must be at least %d B, what one empty message is charged (for no history, set its messages to -1)", c.Limits.Bytes, log.EntryOverhead))
	}
	if c.Limits.Age != 0 && c.Limits.Age < time.Millisecond {
		faults = append(faults, fmt.Errorf("hub: history age %v: must be at least 1ms", c.Limits.Age))
	}
	if c.TotalBytes < 0 {
		faults = append(faults, fmt.Errorf("hub: history of %d B in all: must be positive", c.TotalBytes))
	}
	return errors.Join(faults...)
}

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	if c.Limits.Messages == 0 {
		c.Limits.Messages = DefaultMessages
	}
	if c.Limits.Bytes == 0 {
		c.Limits.Bytes = DefaultBytes
	}
	if c.Limits.Age == 0 {
		c.Limits.Age = DefaultAge
	}
	if c.TotalBytes == 0 {
		c.TotalBytes = DefaultTotalBytes
	}
	if c.ForgottenBytes == 0 {
		c.ForgottenBytes = DefaultForgottenBytes
	}
	return c
}

// table is the rules, or Limits as one rule for all.
func (c Config) table() *rules.Table {
	if c.Rules != nil {
		return c.Rules
	}
	return rules.New(nil, rules.Rule{HistoryMessages: c.Limits.Messages, HistoryBytes: c.Limits.Bytes, HistoryAge: c.Limits.Age})
}
