package inspect

// Live is what a server does and holds at one moment. Counters begin at 0 with the process:
// who shows rates takes the difference of two of them, divided by that of At.
type Live struct {
	At       int64    `json:"at_ms"`      // since 1970
	Started  int64    `json:"started_ms"` // the node, or the process that goes on for it
	Process  int      `json:"process"`    // its id: counters of another one begin anew
	Node     Node     `json:"node"`
	Upgrades Upgrades `json:"upgrades"`
	State    string   `json:"state"` // serving, draining, or why no clients should be sent here

	Log         Log               `json:"log"`
	Connections Connections       `json:"connections"`
	Counters    Counters          `json:"counters"`
	Latency     Latency           `json:"latency"`
	Loops       []Loop            `json:"loops"`
	Memory      Memory            `json:"memory"`
	Channels    Channels          `json:"channels"`
	Refusals    map[string]uint64 `json:"refusals"`     // errors sent to clients, by code; those that occurred
	Refused     map[string]uint64 `json:"refused"`      // connections that admission refused, by reason
	RateLimited map[string]uint64 `json:"rate_limited"` // by what has the limit
	Gaps        map[string]uint64 `json:"gaps"`         // by reason
	Closes      map[string]uint64 `json:"closes"`       // of WebSockets by the server, by code
	Evicted     map[string]uint64 `json:"evicted"`      // connections closed because they held the most, by reason
	Top         *Top              `json:"top,omitempty"`
}

// Node names the server.
type Node struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Log is the state of the log.
type Log struct {
	Engine  string `json:"engine"`
	Epoch   string `json:"epoch"`
	Oldest  uint64 `json:"oldest"`
	Head    uint64 `json:"head"`
	Known   uint64 `json:"known"` // with a log that several nodes share: entries in it
	Behind  int64  `json:"behind_ms"`
	Failing string `json:"failing"` // "" if it can be written
}

// Connections counts them by what they are.
type Connections struct {
	All       int `json:"all"`
	WebSocket int `json:"websocket"`
	SSE       int `json:"sse"`
	Poll      int `json:"poll"`
	HTTP      int `json:"http"`
	TLS       int `json:"tls"`
	Stalled   int `json:"stalled"` // whose socket is full: slow consumers
	Behind    int `json:"behind"`  // that wait for their turn to catch up
}

// Counters are sums over all loops since the start.
type Counters struct {
	Publications  uint64 `json:"publications"`
	Deliveries    uint64 `json:"deliveries"`
	DeliveryBytes uint64 `json:"delivery_bytes"`
	Sends         uint64 `json:"sends"`
	Requests      uint64 `json:"requests"`
	Received      uint64 `json:"received"` // WebSocket messages
	Accepted      uint64 `json:"accepted"`
	Refusals      uint64 `json:"refusals"`
	Gaps          uint64 `json:"gaps"`
	SocketsFull   uint64 `json:"sockets_full"`
	Heartbeats    uint64 `json:"heartbeats"`
	Dead          uint64 `json:"dead"`
	Slow          uint64 `json:"slow"`
	Disconnected  uint64 `json:"disconnected"`
}

// Latency is the histogram of the time from accepted by the log to handed to the kernel for the
// last subscriber that was due. Counts[i] is how many took at most Bounds[i] microseconds and more than the
// bound before; the last count, without a bound, took longer.
type Latency struct {
	Bounds []float64 `json:"bounds_us"`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum_us"`
}

// Loop is one event loop.
type Loop struct {
	Loop        int    `json:"loop"`
	Connections int    `json:"connections"`
	Lag         int64  `json:"lag_us"` // until it came to this question
	Behind      uint64 `json:"behind_messages"`
	Busy        int64  `json:"busy_us"` // since the start, as all that follow
	Turns       uint64 `json:"turns"`
	Deferred    uint64 `json:"deferred"`
	Longest     uint64 `json:"longest_work"` // of one callback, in units of about a microsecond
	Deliveries  uint64 `json:"deliveries"`
}

// Memory is in bytes.
type Memory struct {
	Resident int    `json:"resident"`
	Heap     uint64 `json:"heap"`
	Limit    int    `json:"limit"` // memory-limit; 0 for none
	Level    int    `json:"level"` // 1: new connections are refused; 2: publications, too
	History  int    `json:"history"`
	Encoded  int    `json:"encoded"`
	Held     int    `json:"held"` // for single connections
	Waiting  int    `json:"waiting"`
	Input    int    `json:"input"`
}

// Channels counts them.
type Channels struct {
	Channels    int `json:"channels"`
	Subscribers int `json:"subscribers"`
	Messages    int `json:"messages"` // retained
	Members     int `json:"members"`  // of presence
}

// Top is the largest of their kind.
type Top struct {
	Seconds    float64       `json:"seconds"` // that the busiest and the talkers were counted for; 0: counting has just begun
	Subscribed []ChannelSize `json:"subscribed"`
	Busiest    []ChannelRate `json:"busiest"`
	Talkers    []Talker      `json:"talkers"`
	Users      []UserSum     `json:"users"` // Talkers summed by client, anonymous ones left out
}

// ChannelSize is a channel with its subscribers on this node.
type ChannelSize struct {
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers"`
	Messages    int    `json:"messages"`
	Bytes       int    `json:"bytes"`
}

// ChannelRate is a channel with its publications in Top.Seconds.
type ChannelRate struct {
	Channel      string `json:"channel"`
	Publications uint64 `json:"publications"`
	Bytes        uint64 `json:"bytes"`
}

// Talker is a connection with what it has sent in Top.Seconds.
type Talker struct {
	Session  string `json:"session"`
	Address  string `json:"address"`
	Client   string `json:"client,omitempty"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// UserSum is what all connections of a client have sent in Top.Seconds.
type UserSum struct {
	Client      string `json:"client"`
	Connections int    `json:"connections"` // that have sent something
	Messages    uint64 `json:"messages"`
	Bytes       uint64 `json:"bytes"`
}

// Channel is one channel.
type Channel struct {
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers"`
	Messages    int    `json:"messages"` // retained
	Bytes       int    `json:"bytes"`
	Oldest      string `json:"oldest,omitempty"` // cursors
	Newest      string `json:"newest,omitempty"`
	Members     int    `json:"members"`
	Rule        string `json:"rule,omitempty"`
}

// Message is a publication of the operator.
type Message struct {
	Channel string `json:"channel"`
	Data    string `json:"data"`
	Event   string `json:"event"`
}

// Sent is where the log has it.
type Sent struct {
	Cursor      string `json:"cursor"`
	Subscribers int    `json:"subscribers"` // of the channel on this node at that moment
}

// Order disconnects a client.
type Order struct {
	Client  string `json:"client"`
	Seconds *int   `json:"for_s"` // how long it is kept away; null: disconnect-window; 0: not at all
}

// Disconnected is what came of it.
type Disconnected struct {
	Disconnected int  `json:"disconnected"` // connections, on this node
	KeptAway     bool `json:"kept_away"`
	Stored       bool `json:"stored"` // in the log, so that other nodes and the next start follow it
}
