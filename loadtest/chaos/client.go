package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How clients behave. Means of exponential distributions, so that everything
// happens soon for some and late for others.
const (
	connectionMean = 5 * time.Second
	stallMean      = 1500 * time.Millisecond
	maxPause       = 300 * time.Millisecond // before coming back

	leaveInPercent  = 85 // of connections that the client ends, the others are left to the server
	stallInPercent  = 20 // of connections
	changeInPercent = 30 // of returns on another transport
	othersInPercent = 10 // of returns with one channel exchanged

	// What a stalled client's kernel takes meanwhile.
	stallBuffer = 4096
)

// client follows channels over one connection after another, until its run
// says that all is published and it has the last of it.
type client struct {
	// Fixed.
	number int
	run    *run

	// Of its goroutine.
	rnd       *rand.Rand
	transport int
	cursor    string // where to go on; empty before the server said one
	journal   journal
	stallAt   int // messages of this connection until it stalls; 0: never
	leaving   <-chan struct{}

	mu       sync.Mutex
	conn     net.Conn         // nil between connections
	channels []int32          // exchanged between connections
	newest   map[int32]uint64 // by channel: id of the newest message heard
	done     bool             // it has everything
}

func newClient(r *run, number int) *client {
	c := &client{number: number, run: r, rnd: rand.New(rand.NewPCG(r.Seed, uint64(number))), newest: map[int32]uint64{}}
	c.transport = number % len(transports)
	for range 1 + c.rnd.IntN(maxChannels) {
		c.addChannel()
	}
	return c
}

// maxChannels is how many channels a client follows at most.
const maxChannels = 5

// addChannel adds one that is not there yet.
func (c *client) addChannel() {
	for {
		if n := int32(c.rnd.IntN(c.run.Channels)); !slices.Contains(c.channels, n) {
			c.channels = append(c.channels, n)
			return
		}
	}
}

// live follows until the client has everything or ctx ends.
func (c *client) live(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			c.change()
		}
		conn, ok := c.connect(ctx)
		if !ok {
			if c.isDone() {
				return
			}
			c.pause(ctx)
			continue
		}
		c.follow(ctx, conn)
		if c.isDone() {
			return
		}
		c.pause(ctx)
	}
}

// change decides what is different on the next connection.
func (c *client) change() {
	if c.rnd.IntN(100) < changeInPercent {
		c.transport = (c.transport + 1 + c.rnd.IntN(len(transports)-1)) % len(transports)
		c.run.count(&c.run.figures.Changes)
	}
	// Not when the last messages are being published: its cursor might be
	// beyond that of the new channel, and it would wait for it for ever.
	if c.rnd.IntN(100) < othersInPercent && !isClosed(c.run.ending) {
		c.mu.Lock()
		c.channels = slices.Clone(c.channels)
		gone := c.rnd.IntN(len(c.channels))
		c.channels = slices.Delete(c.channels, gone, gone+1)
		c.addChannel()
		c.mu.Unlock()
	}
}

// connect dials, from one of several addresses, for a port that was used a
// moment ago is not free yet.
func (c *client) connect(ctx context.Context) (net.Conn, bool) {
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+c.number%100))},
		Timeout:   5 * time.Second,
		Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // best effort
			})
		},
	}
	conn, err := d.DialContext(ctx, "tcp4", c.run.Addr)
	if err != nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		_ = conn.Close()
		return nil, false
	}
	c.conn = conn
	return conn, true
}

// follow is one connection.
func (c *client) follow(ctx context.Context, conn net.Conn) {
	ending := ctx
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	defer c.plan(conn.(*net.TCPConn), leave).Stop()
	c.leaving = ctx.Done()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	q := query{addr: c.run.Addr}
	for _, n := range c.channels {
		q.channels = append(q.channels, channelName(n))
	}
	from := place{}
	if c.cursor != "" {
		from, _ = c.run.lives.read(c.cursor) // it was read before
		q.start = "cursor=" + url.QueryEscape(c.cursor)
	} else {
		q.start = []string{"", "", "cursor=earliest", "last=3"}[c.rnd.IntN(4)]
	}
	t := transports[c.transport]
	c.journal.open(connection{t.name, c.channels, from})
	c.run.count(&c.run.figures.Connections)
	err := t.follow(conn, q, c) // nearly always a read that failed
	if err != nil && ctx.Err() == nil && c.run.Log != nil {
		fmt.Fprintf(c.run.Log, "client %d, %s: %v\n", c.number, t.name, err)
	}
	if ctx.Err() != nil && ending.Err() == nil {
		c.run.count(&c.run.figures.Disconnects)
	}
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	_ = conn.Close()
}

// plan decides how a connection ends and whether it stalls. The timer calls
// leave, unless all is published by then.
func (c *client) plan(conn *net.TCPConn, leave func()) *time.Timer {
	stay := time.Duration(c.rnd.ExpFloat64() * float64(connectionMean))
	leaves, abrupt := c.rnd.IntN(100) < leaveInPercent, c.rnd.IntN(2) == 0
	c.stallAt = 0
	if c.rnd.IntN(100) < stallInPercent {
		c.stallAt = 1 + c.rnd.IntN(10)
		_ = conn.SetReadBuffer(stallBuffer) // best effort: the server would just be stuck later
	}
	if abrupt {
		_ = conn.SetLinger(0) // ends in a reset
	}
	return time.AfterFunc(stay, func() {
		if leaves && !c.run.published() {
			leave()
		}
	})
}

// pause waits a little before coming back.
func (c *client) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(c.rnd.Int64N(int64(maxPause)))):
	}
}

// stall stops reading for a while.
func (c *client) stall() {
	c.run.count(&c.run.figures.Stalls)
	select {
	case <-time.After(time.Duration(c.rnd.ExpFloat64() * float64(stallMean))):
	case <-c.leaving:
	case <-c.run.allPublished:
	}
}

// The ear.

func (c *client) message(cursor, channel string, data []byte) {
	at, ok := place{}, cursor == ""
	if !ok {
		at, ok = c.run.lives.read(cursor)
	}
	l, whole := parseData(data)
	if !ok || !whole || channel != "" && channel != channelName(l.channel) {
		c.rubbish("message on %q with cursor %q: %.200q", channel, cursor, data)
		return
	}
	if cursor != "" {
		c.cursor = cursor
	}
	c.journal.records = append(c.journal.records, record{kind: message, channel: l.channel, at: at, id: l.id})
	c.mu.Lock()
	c.newest[l.channel] = l.id
	c.mu.Unlock()
	if c.stallAt > 0 {
		if c.stallAt--; c.stallAt == 0 && !c.run.published() {
			c.stall()
		}
	}
}

func (c *client) gap(g gapNotice) {
	to, ok := c.run.lives.read(g.To)
	n, named := channelNumber(g.Channel)
	reasons := map[string]reason{"discarded": discarded, "unknown_cursor": unknownCursor}
	why, said := reasons[g.Reason]
	if !ok || !named || !said {
		c.rubbish("gap %+v", g)
		return
	}
	c.journal.records = append(c.journal.records, record{kind: gap, reason: why, channel: n, at: to})
}

func (c *client) position(cursor string) {
	at, ok := c.run.lives.read(cursor)
	if !ok {
		c.rubbish("cursor %q", cursor)
		return
	}
	c.cursor = cursor
	if n := len(c.journal.records); c.journal.records[n-1].at != at { // a repeat says nothing
		c.journal.records = append(c.journal.records, record{kind: position, at: at})
	}
}

func (c *client) rubbish(format string, args ...any) {
	c.journal.damaged(fmt.Sprintf(format, args...))
}

// finish ends the client if it has the last message of each of its channels.
func (c *client) finish(last map[int32]uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return true
	}
	for _, n := range c.channels {
		if c.newest[n] != last[n] {
			return false
		}
	}
	c.done = true
	if c.conn != nil {
		_ = c.conn.Close()
	}
	return true
}

func (c *client) isDone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}
