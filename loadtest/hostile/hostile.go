package hostile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is one thing that hostile clients do.
type Kind struct {
	Name string

	// run is the life of one client: one or more connections. It returns an error
	// when the server ended it, and is then called again; nil when it is done.
	run func(c *client, ctx context.Context) error
}

// Kinds returns all kinds, in the order of their names.
func Kinds() []Kind {
	all := slices.Concat(workKinds, memoryKinds, tableKinds, slowKinds, frameKinds, requestKinds, encryptedKinds)
	slices.SortFunc(all, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func kindNamed(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("unknown kind of hostile client %q: must be one of %s", name, strings.Join(names, ", "))
}

// Spec says which clients to play. The zero value of a field is its default.
type Spec struct {
	Addr    string   `json:"addr"`    // of the server, an IPv4 address and a port
	Kinds   []string `json:"kinds"`   // client i is of kind i modulo their number
	Clients int      `json:"clients"` // default 16

	// Source is the local address of the clients; with Sources > 1 client i has the
	// i-th address from there on, modulo Sources. Default: the kernel's choice.
	Source  string `json:"source,omitempty"`
	Sources int    `json:"sources,omitempty"`

	// Connections is how many the clients of a kind that needs many open together;
	// default 3,000.
	Connections int `json:"connections,omitempty"`

	// Channels is on how many a request is; default 127.
	Channels int `json:"channels,omitempty"`

	// Cursor is an old one, for the kind far-cursors. Default: earliest.
	Cursor string `json:"cursor,omitempty"`

	// Read has the kinds unread and zero-windows read: as a control, what as many honest
	// clients cost.
	Read bool `json:"read,omitempty"`

	// Messages is the size of one burst of the kind room; default 200.
	Messages int `json:"messages,omitempty"`

	// Pause is how long a client rests after each request; default none.
	Pause time.Duration `json:"pause,omitempty"`

	// PublishPause is the same for requests that publish much. It keeps small what the
	// server has to store. Default none.
	PublishPause time.Duration `json:"publish_pause,omitempty"`
}

func (s Spec) withDefaults() Spec {
	s.Clients, s.Connections = cmp.Or(s.Clients, 16), cmp.Or(s.Connections, 3000)
	s.Cursor = cmp.Or(s.Cursor, "earliest")
	s.Channels, s.Messages = cmp.Or(s.Channels, 127), cmp.Or(s.Messages, 200)
	return s
}

// Tally counts what the clients did and met.
type Tally struct {
	Connections uint64 `json:"connections"` // opened
	Closed      uint64 `json:"closed"`      // ended by the server, or not accepted
	Sent        uint64 `json:"sent"`        // bytes
	Received    uint64 `json:"received"`    // bytes
	Requests    uint64 `json:"requests"`    // and frames, but for those without an end
	Refused     uint64 `json:"refused"`     // responses with a status from 400 on
}

// client is one hostile client.
type client struct {
	Spec
	met    *Tally // of all clients: changed by count
	number int
	turn   int // number of those of its kind before it
	source string
}

// count adds to a number of the tally.
func count(n *uint64, by int) { atomic.AddUint64(n, uint64(by)) }

// again is how long a client waits that the server has ended.
const again = 20 * time.Millisecond

// Run plays the clients of s until ctx ends, and returns what they did.
func Run(ctx context.Context, s Spec) (t Tally, err error) {
	s = s.withDefaults()
	kinds := make([]Kind, len(s.Kinds))
	for i, name := range s.Kinds {
		if kinds[i], err = kindNamed(name); err != nil {
			return t, err
		}
	}
	if len(kinds) == 0 {
		return t, errors.New("at least one kind of hostile client must be named")
	}
	var clients sync.WaitGroup
	for i := range s.Clients {
		source, err := s.sourceOf(i)
		if err != nil {
			return t, err
		}
		c := &client{Spec: s, met: &t, number: i, turn: i / len(kinds), source: source}
		clients.Go(func() { c.live(ctx, kinds[i%len(kinds)]) })
	}
	clients.Wait()
	return t, nil
}

// live runs the client again and again.
func (c *client) live(ctx context.Context, k Kind) {
	for ctx.Err() == nil {
		if err := k.run(c, ctx); err != nil && ctx.Err() == nil {
			count(&c.met.Closed, 1)
		}
		pause(ctx, max(again, c.Pause))
	}
}

// share is how many of Connections are this client's.
func (c *client) share() int {
	return c.Connections*(c.number+1)/c.Clients - c.Connections*c.number/c.Clients
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
