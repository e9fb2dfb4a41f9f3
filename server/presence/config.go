package presence

import "time"

// Config limits a Table. Zero values are the defaults.
type Config struct {
	// Grace is how long a member stays after its last connection; default 10 s.
	// Raising it lets slower reconnects pass unseen, and shows the gone longer.
	Grace time.Duration

	// Named is up to how many members of a channel, and changes of them, an event
	// says who; default 100. Beyond it only how many, once a second. Raising it
	// makes events larger, for every one who watches.
	Named int

	// Members is how many there may be on all channels, ChannelMembers on one;
	// defaults 1,000,000 and 200,000. Beyond either a client is not listed.
	// Raising them takes more Bytes.
	Members, ChannelMembers int

	// Bytes bounds the members, channels and named connections of the Table, as it
	// counts them, which is about what they take; default 256 MiB. Beyond it a client
	// is not listed, and a channel not watched. Named connections themselves are
	// counted and never refused: their number is limited elsewhere.
	Bytes int

	// Share is how much of Members, of Bytes and of ChannelMembers one share
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

// What Bytes counts beside texts: see TestBytesAreWhatIsUsed.
const (
	memberBytes  = 96  // and its place in the order of its channel
	channelBytes = 288 // and its place in the shard
	personBytes  = 48
	guestBytes   = 112 // and its place among the sessions of a front
	seatBytes    = 40
)

// textBytes is what a text takes.
func textBytes(s string) int { return (len(s) + 15) &^ 15 }

const (
	// crowdEvery is the time between two events of a channel with more members
	// than Named.
	crowdEvery = time.Second

	// watchFor is how long a channel stays watched at least after the last one who
	// did: who comes back meanwhile is told of no gap if nothing has changed.
	watchFor = time.Minute

	shardCount = 64

	// One lock hold of Tick and Sweep looks at so many members and channels, and
	// makes so many events, of 100 names each: see BenchmarkHold.
	holdSteps  = 64
	holdEvents = 16
)
