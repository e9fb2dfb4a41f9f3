package loadtest

import (
	"cmp"
	"net/url"
	"strconv"
	"time"

	"peal/loadtest/dialect"
)

// Kind is the program that plays the subscribers.
type Kind string

const (
	GWS   Kind = "gws"   // lxzan/gws, its read loops coroutines of one loop: WebSocket only
	Epoll Kind = "epoll" // one goroutine on raw epoll: any transport, a few hundred bytes per connection
)

// Transport is how subscribers receive.
type Transport string

const (
	WebSocket Transport = "ws"
	SSE       Transport = "sse"
	Poll      Transport = "poll" // polls again with the answer's cursor
)

// Format is how messages are written.
type Format string

const (
	Raw  Format = "raw"  // the bare data
	JSON Format = "json" // an object with channel, cursor, time and data
)

// Spec describes the subscribers to open. The zero value of a field is its
// default.
type Spec struct {
	Endpoint
	Kind        Kind      `json:"kind"`
	Transport   Transport `json:"transport"`
	Connections int       `json:"connections"`

	// Path of the request; channels and Query are added to it. Default: /ws,
	// /sse or /poll.
	Path  string `json:"path,omitempty"`
	Query string `json:"query,omitempty"` // "last=5&timeout=120"

	// Format is what messages come in, sent as format=…; default: the server's
	// choice, which must be json for polls and raw for the others. Epoll only.
	Format Format `json:"format,omitempty"`

	// Dialect is that of another server, and Data what its placeholders stand for,
	// also those in Path and Header. Each connection then has one channel: Channel if
	// Channels is 0. Epoll only.
	Dialect *dialect.Dialect `json:"dialect,omitempty"`
	Data    dialect.Data     `json:"data,omitzero"`
	Channel string           `json:"channel,omitempty"`

	// Protocol is the subprotocol a WebSocket asks for and must be given. Frames
	// without data (of peal.v1: "connected", replies) are then passed over.
	// Epoll only.
	Protocol string `json:"protocol,omitempty"`

	// Deflate offers permessage-deflate. Epoll only.
	Deflate bool `json:"deflate,omitempty"`

	// Header is further lines of each subscribing request, each with its CRLF.
	// Epoll only.
	Header string `json:"header,omitempty"`

	// Cursor is where to start; it is sent as cursor=…, by polls in the first
	// request only.
	Cursor string `json:"cursor,omitempty"`

	// Channels is how many each connection subscribes to. 0: no channel is
	// named in the request, and the fleet listens to stream 0. Connection i
	// gets the channels (i×Stride … i×Stride+Channels−1), named Prefix+number
	// and counted on across workers; Stride 0: all the same. Around > 0: first
	// channels are counted modulo Around.
	Channels int    `json:"channels"`
	Stride   int    `json:"stride,omitempty"`
	Around   int    `json:"around,omitempty"`
	Prefix   string `json:"prefix,omitempty"` // default "c"

	// Requests are paths that each connection first GETs, one after another,
	// before it subscribes. Epoll only.
	Requests []string `json:"requests,omitempty"`

	// Stalled connections subscribe and then read nothing, with a receive
	// buffer of 4 KiB. They are opened in addition to Connections, and nothing
	// is expected of them. Epoll only.
	Stalled int `json:"stalled,omitempty"`

	// Source is the local address, "127.0.0.2"; empty: the kernel's choice.
	// A Pool gives each worker its own.
	Source string `json:"source,omitempty"`
	First  int    `json:"first,omitempty"` // number of this worker's first connection; set by the Pool
	// Agents are where the workers run, gone round; none: on this machine. Each is an
	// address of peal load agent. AgentToken is what they know, too.
	Agents     []string `json:"-"`
	AgentToken string   `json:"-"`

	// Resume makes a connection that ended come back, from the newest cursor it
	// saw, until Timeout has passed without it. Event streams say it as browsers do,
	// in Last-Event-ID. Where the dialect has none, as raw WebSocket and most others',
	// it comes back to what is new. Epoll only.
	Resume bool `json:"resume,omitempty"`

	// Backoff, with Resume, makes them come back by it, without a time limit. nil: always
	// after 100 ms.
	Backoff *Backoff `json:"backoff,omitempty"`

	// OpenRate opens so many connections a second, on a schedule from which
	// their opening time counts; 0: as many at once as Window allows. Epoll only.
	OpenRate float64 `json:"open_rate,omitempty"`

	flood *flood // nil: these are subscribers

	Window  int           `json:"window,omitempty"`  // connections being opened at once, default 256
	Timeout time.Duration `json:"timeout,omitempty"` // for opening all of them, default 60 s
	Confirm time.Duration `json:"confirm,omitempty"` // for the Dialect's steps on each; 0: Timeout alone
}

func (s Spec) withDefaults() Spec {
	s.Kind, s.Transport = cmp.Or(s.Kind, Epoll), cmp.Or(s.Transport, WebSocket)
	s.Host, s.Path, s.Prefix = cmp.Or(s.Host, s.Addr), cmp.Or(s.Path, "/"+string(s.Transport)), cmp.Or(s.Prefix, "c")
	s.Window, s.Timeout = cmp.Or(s.Window, 256), cmp.Or(s.Timeout, time.Minute)
	return s
}

// firstStream is the first channel of this worker's connection i.
func (s *Spec) firstStream(i int) int {
	stream := (s.First + i) * s.Stride
	if s.Around > 0 {
		stream %= s.Around
	}
	return stream
}

// streams is how many tracks one subscriber needs.
func (s *Spec) streams() int { return max(s.Channels, 1) }

// requestPath is the path and query with which connection i subscribes, with
// the starting cursor if that is wanted.
func (s *Spec) requestPath(i int, cursor bool) string {
	path := s.Path
	for c := range s.Channels {
		path = withParameter(path, "channel="+url.QueryEscape(ChannelName(s.Prefix, s.firstStream(i)+c)))
	}
	if s.Format != "" {
		path = withParameter(path, "format="+string(s.Format))
	}
	if s.Query != "" {
		path = withParameter(path, s.Query)
	}
	if cursor && s.Cursor != "" {
		path = withParameter(path, "cursor="+url.QueryEscape(s.Cursor))
	}
	return s.expand(i, path, "url")
}

// expand puts connection i's data in the places that text has for it. A dialect's
// connections have their own way.
func (s *Spec) expand(i int, text string, escapes ...string) string {
	if s.Dialect != nil || !s.Data.Given() {
		return text
	}
	v := s.Data.Values(s.First+i, s.channelName(i))
	return s.Data.Expand(text, &v, escapes...)
}

// channelName is what connection i of another server subscribes to.
func (s *Spec) channelName(i int) string {
	if s.Channels == 0 {
		return s.Channel
	}
	return ChannelName(s.Prefix, s.firstStream(i))
}

// ChannelName is the name of a stream's channel.
func ChannelName(prefix string, stream int) string { return prefix + strconv.Itoa(stream) }
