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

// Limits is how much history one channel retains: the newest publications within
// all three limits.
type Limits struct {
	// Messages is the number of publications; default 1,000; negative for no
	// history. Each costs 8 bytes beyond what Bytes counts.
	Messages int

	// Bytes is the sum of their sizes as log.Entry.Size counts them, at least
	// log.EntryOverhead each; default 1 MiB. A larger publication is delivered
	// but not retained.
	Bytes int

	// Age is how long a publication is retained, to the millisecond; default 10
	// minutes. An entry with a TTL is retained for the shorter of the two. When it
	// expires, the older messages of its channel are dropped too, because messages
	// that a gap covers are not delivered.
	Age time.Duration
}

// Config is the configuration of a Hub. Its zero value is the documented default.
type Config struct {
	// Limits applies to each channel, unless there are Rules.
	Limits Limits

	// Rules has the limits of each channel. Default: Limits for all. The server
	// creates it from the operator's settings.
	Rules *rules.Table

	// TotalBytes bounds the histories of all channels; default 256 MiB. Beyond
	// it the oldest publications of the least recently published channel are
	// dropped; at most the entry that is being appended exceeds it. Cached encodings
	// are added to it: Hub.Encodings.
	TotalBytes int

	// ForgottenBytes bounds the records of forgotten channels, which have neither
	// subscribers nor history: 16 bytes for each, in tables of a power of two of
	// which an eighth stays free. Default 16 MiB, for 917,504 channels; negative for
	// none. Beyond it, the channels with the oldest messages share 65,536 watermarks,
	// and a reader with a cursor before such a message may receive a false gap on an
	// unused channel. The memory is allocated when it is needed.
	ForgottenBytes int
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var faults []error
	if c.Limits.Bytes != 0 && c.Limits.Bytes < log.EntryOverhead {
		faults = append(faults, fmt.Errorf("hub: history of %d B per channel: must be at least %d B, the charge for one empty message: raise history-bytes (for no history, set history-messages to 0)", c.Limits.Bytes, log.EntryOverhead))
	}
	if c.Limits.Age != 0 && c.Limits.Age < time.Millisecond {
		faults = append(faults, fmt.Errorf("hub: history-age %v: must be at least 1ms", c.Limits.Age))
	}
	if c.TotalBytes < 0 {
		faults = append(faults, fmt.Errorf("hub: history-total-bytes %d: must be positive", c.TotalBytes))
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

// table returns the rules, or Limits as one rule for all channels.
func (c Config) table() *rules.Table {
	if c.Rules != nil {
		return c.Rules
	}
	return rules.New(nil, rules.Rule{HistoryMessages: c.Limits.Messages, HistoryBytes: c.Limits.Bytes, HistoryAge: c.Limits.Age})
}
