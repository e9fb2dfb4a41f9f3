package chaos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	before    int              // transport of the connection before
	cursors   map[int32]string // by channel: where to go on; missing before the server said one
	node      int              // to which it connects; of a cluster another one each time
	journal   journal
	stallAt   int // messages of this connection until it stalls; 0: never
	leaving   <-chan struct{}
	proofs    int    // that were signed
	coming    *proof // that of the next renewal
	session   string // its id, as the server gave it first; "" before
	source    string // its address
	start     int32  // of the server: that of conn
	failed    error  // how the newest connection that failed ended

	// proof is the token of the connection. The client's goroutine stores it.
	proof atomic.Pointer[proof]

	stalled atomic.Bool // it does not read

	mu       sync.Mutex
	conn     net.Conn         // nil between connections
	channels []int32          // exchanged between connections
	newest   map[int32]uint64 // by channel: id of the newest message heard
	done     bool             // it has everything
	missed   []record         // the newest gaps
}

func newClient(r *run, number int) *client {
	c := &client{number: number, run: r, rnd: rand.New(rand.NewPCG(r.Seed, uint64(number))), cursors: map[int32]string{}, newest: map[int32]uint64{}}
	c.transport = number % len(r.transports)
	c.before = c.transport
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
		if conn, ok := c.connect(ctx); ok {
			c.follow(ctx, conn)
		}
		if c.isDone() {
			return
		}
		most := int64(maxPause)
		if c.run.Questions != nil && c.rnd.IntN(100) < awayInPercent {
			most *= 10
		}
		pause(ctx, time.Duration(c.rnd.Int64N(most))) // before coming back
	}
}

// change decides what is different on the next connection.
func (c *client) change() {
	if n := len(c.run.transports); n > 1 && c.rnd.IntN(100) < changeInPercent {
		c.transport = (c.transport + 1 + c.rnd.IntN(n-1)) % n
	}
	// Not when the last messages are being published: its cursor might be
	// beyond that of the new channel, and it would wait for it for ever.
	if c.rnd.IntN(100) < othersInPercent && !isClosed(c.run.ending) {
		c.mu.Lock()
		c.channels = slices.Clone(c.channels)
		i := c.rnd.IntN(len(c.channels))
		gone := c.channels[i]
		c.channels = slices.Delete(c.channels, i, i+1)
		c.addChannel()
		c.mu.Unlock()
		// A cursor is good for any channel.
		if cursor, ok := c.cursors[gone]; ok {
			delete(c.cursors, gone)
			c.cursors[c.channels[len(c.channels)-1]] = cursor
		}
	}
}

// moves chooses the node of the next connection.
func (c *client) moves() {
	if n := len(c.run.addrs()); n > 1 {
		before := c.node
		if c.node = c.rnd.IntN(n); c.node != before {
			c.run.count(&c.run.figures.Moves)
		}
	}
}

// connect dials, from one of several addresses, for a port that was used a
// moment ago is not free yet.
func (c *client) connect(ctx context.Context) (net.Conn, bool) {
	c.source = c.run.source(c.number)
	c.moves()
	server := c.run.endpoint(c.node)
	if c.run.Questions != nil {
		server.Segment = segment
	}
	start := c.run.starts.Load()
	conn, err := server.Dial(ctx, c.source)
	if err != nil {
		return nil, false
	}
	if c.start = start; c.run.starts.Load() != start {
		c.start = 0
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
	defer c.plan(below(conn), leave).Stop()
	c.leaving = ctx.Done()
	defer context.AfterFunc(ctx, func() { _ = below(conn).Close() })()

	peace := &c.run.peace[c.node]
	number := peace.number()
	c.prove()
	t := c.run.transports[c.transport]
	q, from := c.query(t)
	if p := c.proof.Load(); p != nil {
		q.proof, q.renewal = p.text, c
	}
	heard := len(c.journal.records) + 1
	c.journal.open(connection{transport: t.name, separate: t.separate, retained: q.start != "" && from[0].isZero(), channels: c.channels, from: from,
		address: c.source, start: c.start, proof: c.proof.Load()}, c.run.now())
	c.run.count(&c.run.figures.Connections)
	if c.transport != c.before {
		c.before = c.transport
		c.run.count(&c.run.figures.Changes)
	}
	err := t.follow(conn, q, c) // nearly always a read that failed
	if ctx.Err() == nil {
		c.failed = err
	}
	excused := false
	if errors.Is(err, errComeBack) && c.run.Nodes != nil {
		c.run.count(&c.run.figures.ComeBacks)
		excused = true
	}
	if p := c.proof.Load(); p != nil {
		excused = excused || p.over() || c.run.Keeps == Nothing && len(c.journal.records) == heard // a token from before the start
		if p.narrow {
			c.run.count(&c.run.figures.Refused)
		}
		if p.retried || !p.over() && len(c.journal.records) == heard {
			c.proof.Store(nil)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && number > 0 && number == peace.number() && !excused {
		c.run.count(&c.run.figures.Ended)
		c.run.ended(c.number, t.name, err)
	}
	if err != nil && ctx.Err() == nil && c.run.Log != nil {
		c.run.say("client %d, %s, node %d: %v", c.number, t.name, c.node, err)
	}
	if ctx.Err() != nil && ending.Err() == nil {
		c.run.count(&c.run.figures.Disconnects)
	}
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	_ = conn.Close()
}

// query is what to ask for on the next connection. Channels without a cursor
// begin at the oldest that there is, and so do all where they are not separate.
func (c *client) query(t transport) (q query, from []place) {
	q.addr = c.run.addrs()[c.node]
	if c.run.Questions != nil {
		q.session, q.adopts = c.session, true
		if c.run.Access == nil { // else the token says it
			q.name = clientName(c.number)
		}
	}
	var oldest place
	var first string
	for _, n := range c.channels {
		cursor := c.cursors[n]
		if at, ok := c.run.lives.read(cursor); ok && (first == "" || at.compare(oldest) < 0) {
			first, oldest = cursor, at
		}
	}
	for _, n := range c.channels {
		cursor, at := first, oldest
		if own, ok := c.cursors[n]; ok && t.separate {
			cursor = own
			at, _ = c.run.lives.read(own) // it was read before
		}
		q.channels, q.cursors, from = append(q.channels, channelName(n)), append(q.cursors, cursor), append(from, at)
	}
	q.start = "cursor=" + url.QueryEscape(first)
	switch {
	case first != "":
	case len(c.journal.connections) > 0:
		// From now on, it might miss the last messages and wait for them for ever.
		q.start = "cursor=earliest"
	default:
		q.start = []string{"", "", "cursor=earliest", "last=3"}[c.rnd.IntN(4)]
	}
	if q.start == "cursor=earliest" {
		for i := range q.cursors {
			q.cursors[i] = "earliest"
		}
	}
	return q, from
}

// below is the TCP connection under TLS, if there is TLS. A client that leaves closes that:
// the server could respond to a good-bye of TLS before the connection is closed, as if it had
// ended it.
func below(conn net.Conn) *net.TCPConn {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	return conn.(*net.TCPConn)
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

// stall stops reading for a while.
func (c *client) stall() {
	c.run.count(&c.run.figures.Stalls)
	c.stalled.Store(true)
	defer c.stalled.Store(false)
	select {
	case <-time.After(time.Duration(c.rnd.ExpFloat64() * float64(c.run.stallMean()))):
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
	if p := c.proof.Load(); p != nil {
		if why := p.forbids(&c.run.ledger, l); why != "" {
			c.run.count(&c.run.figures.Ungranted)
			c.rubbish("message %d on channel %d: %s", l.id, l.channel, why)
		}
	}
	switch {
	case cursor == "": // the position that follows has it
	case c.run.transports[c.transport].separate:
		c.cursors[l.channel] = cursor
	default:
		c.setCursors(cursor)
	}
	c.journal.records = append(c.journal.records, record{kind: message, channel: l.channel, at: at, id: l.id, when: c.run.now()})
	c.mu.Lock()
	c.newest[l.channel] = l.id
	c.mu.Unlock()
	if c.stallAt > 0 {
		if c.stallAt--; c.stallAt == 0 && !c.run.published() {
			c.stall()
		}
	}
}

func (c *client) gaps(list []gapNotice) {
	for _, g := range list {
		to, ok := c.run.lives.read(g.To)
		n, named := channelNumber(g.Channel)
		why, known := reasons[g.Reason]
		if !ok || !named || !known {
			c.rubbish("gap %+v", g)
			continue
		}
		if why == unknownCursor && c.run.Nodes != nil {
			c.run.say("client %d, node %d: the cursor of channel %d means nothing: %q", c.number, c.node, n, c.cursors[n])
		}
		r := record{kind: gap, reason: why, channel: n, at: to, when: c.run.now()}
		c.journal.records = append(c.journal.records, r)
		c.remember(r)
	}
}

func (c *client) position(channel, cursor string) {
	at, ok := c.run.lives.read(cursor)
	r := record{kind: position, channel: everyChannel, at: at, when: c.run.now()}
	if ok && channel != "" {
		r.channel, ok = channelNumber(channel)
	}
	switch {
	case !ok:
		c.rubbish("cursor %q on %q", cursor, channel)
		return
	case channel == "":
		c.setCursors(cursor)
	default:
		c.cursors[r.channel] = cursor
	}
	last := c.journal.records[len(c.journal.records)-1]
	if last.when = r.when; last != r { // a repeat says nothing
		c.journal.records = append(c.journal.records, r)
	}
}

func (c *client) adopt(session string) {
	if c.session == "" {
		c.session = session
	}
}

func (c *client) setCursors(cursor string) {
	for _, n := range c.channels {
		c.cursors[n] = cursor
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
		_ = below(c.conn).Close()
	}
	return true
}

// lacks describes a client that has not everything. Its goroutine has ended.
func (c *client) lacks() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d is behind, on connection %d (%s, %d records in all):", c.number, len(c.journal.connections), c.run.transports[c.transport].name, len(c.journal.records))
	for _, n := range c.channels {
		if c.newest[n] != c.run.last[n] {
			fmt.Fprintf(&b, " of channel %d it has message %d and not %d, and asks for what follows %q;", n, c.newest[n], c.run.last[n], c.cursors[n])
		}
	}
	if p := c.proof.Load(); p != nil {
		fmt.Fprintf(&b, " its token %s is valid for %v, narrow %t, revoked at %d;", p.id, time.Until(p.expires).Round(time.Millisecond), p.narrow, p.revoked.Load())
	}
	fmt.Fprintf(&b, " the connection before ended with: %v", c.failed)
	return b.String()
}

func (c *client) isDone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}
