package attacks

import (
	"context"
	"regexp"
	"time"

	"peal/loadtest"
)

// Attack is one behaviour of hostile clients, with what is checked.
type Attack struct {
	Name string   // see hostile.Kinds; a variant follows a "/"
	Kind string   // of the hostile clients
	Args []string // further arguments of the server; {dir} is a new directory

	Clients     int // hostile; 0: Size.Clients
	Connections int // of theirs together; 0: Size.Connections

	// Read is for the kinds whose clients do not read: as a control, they do.
	Read bool

	// Encrypted: the server speaks TLS with the hostile clients.
	Encrypted bool

	// Crowd are further connections. They are opened first.
	Crowd []loadtest.Spec

	// Prepare runs before the honest clients connect, Check after the hostile ones
	// have stopped. Both act as one honest client.
	Prepare func(ctx context.Context, p *prey) error
	Check   func(ctx context.Context, p *prey) ([]Figure, error)
}

// Figure is a counted result.
type Figure struct {
	Name  string
	Value float64
	Good  string // the expected value, in words
}

// Size sets the numbers of clients, messages and seconds.
type Size struct {
	Honest      int           // subscribers, a third of each transport
	Rate        float64       // publications a second to each transport's subscribers
	Clients     int           // hostile
	Sources     int           // addresses of the hostile clients; 0: the honest clients' own
	Connections int           // of attacks that need many, and of crowds
	Crowd       int           // connections of a crowd
	Channels    int           // of one request
	Messages    int           // in each history, and in a burst
	Quiet       time.Duration // length of the two phases
	Length      time.Duration
	Settle      time.Duration // for the last messages of a phase
}

// Full is the size that the documents show.
func Full() Size {
	return Size{Honest: 1000, Rate: 20, Clients: 16, Sources: 1, Connections: 3000, Crowd: 10_000, Channels: 127, Messages: 1000,
		Quiet: 3 * time.Second, Length: 6 * time.Second, Settle: 8 * time.Second}
}

// Quick only shows that an attack works.
func Quick() Size {
	return Size{Honest: 30, Rate: 20, Clients: 3, Sources: 1, Connections: 30, Crowd: 60, Channels: 127, Messages: 20,
		Quiet: 300 * time.Millisecond, Length: 700 * time.Millisecond, Settle: 5 * time.Second}
}

// All returns the attacks, in the order of the table.
func (s Size) All() []Attack {
	crowd := func(path, prefix string, transport loadtest.Transport, connections, stride int) loadtest.Spec {
		return loadtest.Spec{Transport: transport, Path: path, Prefix: prefix, Connections: connections, Channels: 1, Stride: stride}
	}
	// Every client has the channel "room" and one more: its own, or the same for all.
	room := func(stride int) []loadtest.Spec {
		return []loadtest.Spec{
			crowd("/ws?channel=room", "own-ws-", loadtest.WebSocket, s.Crowd/2, stride),
			crowd("/sse?channel=room", "own-sse-", loadtest.SSE, s.Crowd-s.Crowd/2, stride),
		}
	}
	onDisk := []string{"--log", "file:{dir}"}
	return []Attack{
		{Name: "last", Kind: "last", Prepare: s.archive},
		{Name: "earliest", Kind: "earliest", Prepare: s.archive},
		{Name: "commands", Kind: "commands"},
		{Name: "foreign-cursors", Kind: "foreign-cursors"},
		{Name: "bad-json", Kind: "bad-json"},
		{Name: "pings", Kind: "pings"},
		{Name: "chunked", Kind: "chunked"},
		{Name: "heartbeats", Kind: "heartbeats", Args: []string{"--heartbeat", "2s"}, Crowd: []loadtest.Spec{
			crowd("/ws", "silent-ws-", loadtest.WebSocket, s.Crowd/2, 1), crowd("/sse", "silent-sse-", loadtest.SSE, s.Crowd-s.Crowd/2, 1)}},
		{Name: "room/sets=equal", Kind: "room", Clients: 1, Crowd: room(0)},
		{Name: "room/sets=own", Kind: "room", Clients: 1, Crowd: room(1)},
		{Name: "unfinished", Kind: "unfinished"},
		{Name: "unread", Kind: "unread", Prepare: staller, Check: stallerKept},
		{Name: "unread/control=read", Kind: "unread", Read: true},
		{Name: "late-replies", Kind: "late-replies", Args: onDisk},
		{Name: "listings", Kind: "listings", Prepare: s.listing},
		{Name: "encodings", Kind: "encodings", Args: []string{"--history-total-bytes", "32MiB"}, Check: memoryOfHistory},
		{Name: "batch-expansion", Kind: "batch-expansion", Clients: 1, Args: onDisk, Check: diskOfBatches},
		{Name: "idempotency", Kind: "idempotency", Prepare: ownKey, Check: ownKeyHonoured},
		{Name: "bans", Kind: "bans", Check: disconnectWorks},
		{Name: "presence", Kind: "presence", Clients: 1, Check: memberListed},
		{Name: "slow-heads", Kind: "slow-heads"},
		{Name: "slow-bodies", Kind: "slow-bodies"},
		{Name: "slow-frames", Kind: "slow-frames"},
		{Name: "half-open", Kind: "half-open", Connections: s.Crowd},
		{Name: "resets", Kind: "resets"},
		{Name: "zero-windows", Kind: "zero-windows"},
		{Name: "zero-windows/control=read", Kind: "zero-windows", Read: true},
		{Name: "tiny-windows", Kind: "tiny-windows", Connections: s.Connections / 10},
		{Name: "long-frames", Kind: "long-frames"},
		{Name: "empty-fragments", Kind: "empty-fragments"},
		{Name: "closes", Kind: "closes"},
		{Name: "unmasked", Kind: "unmasked"},
		{Name: "deflate-bombs", Kind: "deflate-bombs", Args: []string{"--deflate"}},
		{Name: "new-names", Kind: "new-names"},
		{Name: "many-channels", Kind: "many-channels"},
		{Name: "reads", Kind: "reads", Prepare: s.archive},
		{Name: "far-cursors", Kind: "far-cursors", Prepare: s.longAgo},
		{Name: "header-bombs", Kind: "header-bombs"},
		{Name: "poll-floods", Kind: "poll-floods"},
		{Name: "slow-tls", Kind: "slow-tls", Encrypted: true},
		{Name: "tls-handshakes", Kind: "tls-handshakes", Encrypted: true},
		{Name: "channels", Kind: "channels", Args: []string{"--history-total-bytes", "8MiB"}, Prepare: rememberCursor, Check: falseGaps},
	}
}

// Matching returns the attacks whose name matches; nil matches all.
func (s Size) Matching(only *regexp.Regexp) (some []Attack) {
	for _, a := range s.All() {
		if only == nil || only.MatchString(a.Name) {
			some = append(some, a)
		}
	}
	return some
}
