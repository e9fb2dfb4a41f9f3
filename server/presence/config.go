package presence

import "time"

// Config limits a Table. Zero values are the defaults.
type Config struct {
	// Grace is how long a member stays after its last connection; default 10 s.
	// Raising it hides slower reconnects, and shows members that have left for longer.
	Grace time.Duration

	// Named is the number of members of a channel, and of changes, up to which an
	// event has names; default 100. Beyond it an event has counts only, and there is
	// at most one a second. Raising it makes events larger for each watcher.
	Named int

	// Members limits the members of all channels, ChannelMembers those of one;
	// defaults 1,000,000 and 200,000. Beyond either a client is not listed.
	// Raising them needs more Bytes.
	Members, ChannelMembers int

	// Bytes limits the memory of members, channels and named connections, as the
	// Table counts it, which is about the real memory; default 256 MiB. Beyond it a
	// client is not listed, and a channel cannot be watched. Named connections
	// themselves are counted and never refused: another limit bounds their number.
	Bytes int

	// Share is the part of Members, of Bytes and of ChannelMembers that one share
	// (server/share) may have, in percent, 1 to 100; default 50.
	Share int
}

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&c.Named, 100)
	number(&c.Members, 1_000_000)
	number(&c.ChannelMembers, 200_000)
	number(&c.Bytes, 256<<20)
	number(&c.Share, 50)
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	return c
}

// The bytes that Bytes counts beside texts: see TestBytesAreWhatIsUsed.
const (
	memberBytes  = 100 // and its place in the order of its channel; without a connection it takes so much
	channelBytes = 288 // and its place in the shard
	personBytes  = 32
	guestBytes   = 60 // and its place among the sessions of a front
	seatBytes    = 24
)

// textBytes is the memory of a text.
func textBytes(s string) int { return (len(s) + 15) &^ 15 }

const (
	// crowdEvery is the time between two events of a channel with more members
	// than Named.
	crowdEvery = time.Second

	// watchFor is how long a channel stays watched at least after its last watcher:
	// a watcher that returns meanwhile receives no gap if nothing has changed.
	watchFor = time.Minute

	shardCount = 64

	// One lock hold of Tick and Sweep visits at most that many members and channels,
	// and makes at most that many events, of 100 names each: see BenchmarkHold.
	holdSteps  = 64
	holdEvents = 16
)
