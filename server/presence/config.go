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

	// Bytes bounds the members and channels of the Table, as it counts them:
	// their texts and overheads that are somewhat more than what they take;
	// default 256 MiB. Beyond it a client is not listed, and a channel not watched.
	Bytes int
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
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	return c
}

// What Bytes counts beside texts: see TestBytesAreWhatIsUsed.
const (
	memberBytes  = 160
	channelBytes = 320
)

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
