package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// publishConn is one connection of a Publisher, or the next in its place.
//
//	dial ──▶ upgrade ──▶ conversation ──▶ ready ──▶ ended ──▶ dial, at once or after a pause
//	           └─ of a WebSocket ─┘
//
// Until it is ready messages wait, as they do for answers: that time is the server's.
// The pause is not, so messages that become due in it are refused.
type publishConn struct {
	*publishTarget
	first  int        // its first stream
	opened chan error // capacity 1: how the first attempt ended

	// Of the goroutine that runs it.
	upgraded bool
	converse func([]byte) ([]byte, bool, error)
	messages leanConn // puts fragments together

	writer   sync.WaitGroup
	mu       sync.Mutex
	conn     net.Conn  // nil: none
	ready    bool      // messages may be written
	served   bool      // an answer has come
	asked    time.Time // since when something is awaited; zero: nothing
	pausing  error     // why there is no connection, and no attempt at one
	due      bool      // queued to, and not flushed
	writing  bool      // the writer has batch
	failed   error     // of a write
	batch    []byte    // what is being written
	control  []byte    // frames that go first
	waiting  []sent    // the oldest first
	inFlight int       // of those, how many were written
	size     int       // bytes of all that wait
	spare    []byte    // an old request's memory
	outcome  Outcome
	idle     chan struct{} // if not nil: closed when nothing waits
}

var errTooFast = errors.New("the server takes less than is published: lower --rate, or raise --publishers or --pipeline")

// sent is a message on its way. Its stream is 0 once nobody waits for its answer.
type sent struct {
	stream   int // from 1 on
	sequence uint64
	queued   int64 // Now()
	request  []byte
}

// A connection is opened again at once. Where that was of no use, the pauses between
// two attempts, from the beginning of the first, double from the shortest to the longest.
const (
	shortestPause = 25 * time.Millisecond
	longestPause  = 200 * time.Millisecond
)

// queue reports whether c is to be flushed for it.
func (c *publishConn) queue(stream int, sequence uint64, request []byte) (flush bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, reason := sent{stream: stream + 1, sequence: sequence, queued: Now()}, c.pausing
	if c.size > publishQueueBytes {
		reason = cmp.Or(reason, errTooFast)
	}
	if reason != nil {
		c.refuseLocked([]sent{m}, false, reason)
		return false
	}
	m.request, c.spare = append(c.spare[:0], request...), nil
	c.size += len(request)
	c.waiting = append(c.waiting, m)
	flush, c.due = !c.due, true
	return flush
}

// flush sends control frames, and then what is queued.
func (c *publishConn) flush(control []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = false
	c.control = append(c.control, control...)
	c.sendLocked()
}

// sendLocked writes what may be written. A call never blocks: what the socket does
// not take at once the writer writes.
func (c *publishConn) sendLocked() {
	defer c.settleLocked()
	if c.conn == nil || c.writing || c.failed != nil {
		return
	}
	c.batch = append(c.batch[:0], c.control...)
	c.control = c.control[:0]
	before := c.inFlight
	for c.ready && c.inFlight < len(c.waiting) && (c.WebSocket || c.inFlight < c.Pipeline) {
		c.batch = append(c.batch, c.waiting[c.inFlight].request...)
		c.inFlight++
	}
	if len(c.batch) == 0 {
		return
	}
	if before == 0 && c.inFlight > 0 && !c.WebSocket {
		c.asked = time.Now()
	}
	if n := tryWrite(c.conn, c.batch); n < len(c.batch) {
		c.writing = true
		c.writer.Add(1)
		go c.write(c.conn, c.batch[n:]) // ends with the connection
		return
	}
	c.wroteLocked()
}

// tryWrite writes what conn takes at once, nothing if conn is not a plain socket.
// Its errors are those of the next write.
func tryWrite(conn net.Conn, b []byte) (n int) {
	if socket, ok := conn.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			_ = raw.Write(func(fd uintptr) bool { n, _ = unix.Write(int(fd), b); return true })
		}
	}
	return max(n, 0)
}

// write writes b, the end of the batch.
func (c *publishConn) write(conn net.Conn, b []byte) {
	defer c.writer.Done()
	_ = conn.SetWriteDeadline(time.Now().Add(c.timeout)) // an error is Write's too
	_, err := conn.Write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if c.failed = err; err != nil {
		// What the server said before it hung up is still to be read.
		c.asked = time.Now().Add(time.Second - c.timeout)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // an error is Read's too
		return
	}
	c.wroteLocked()
	c.sendLocked()
}

// wroteLocked is after the batch was written: a frame has no answer.
func (c *publishConn) wroteLocked() {
	if c.WebSocket {
		c.acceptLocked(c.waiting[:c.inFlight])
		c.dropLocked(c.inFlight)
	}
}

// dropLocked forgets the oldest n messages, which were in flight.
func (c *publishConn) dropLocked(n int) {
	for _, m := range c.waiting[:n] {
		c.size -= len(m.request)
		c.spare = m.request
	}
	c.waiting = c.waiting[n:]
	c.inFlight -= n
}

func (c *publishConn) settleLocked() {
	if c.idle != nil && len(c.waiting) == 0 {
		close(c.idle)
		c.idle = nil
	}
}

func (c *publishConn) idleSignal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := make(chan struct{})
	c.idle = idle
	c.settleLocked()
	return idle
}

// giveUp returns what became of all messages. Those that still wait are refused.
func (c *publishConn) giveUp(reason error) (o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuseLocked(c.waiting[:c.inFlight], true, reason)
	c.refuseLocked(c.waiting[c.inFlight:], false, reason)
	for i, m := range c.waiting {
		if c.waiting[i].stream = 0; i >= c.inFlight {
			c.size -= len(m.request)
		}
	}
	c.waiting = c.waiting[:c.inFlight] // their answers may still come
	o, c.outcome = c.outcome, Outcome{}
	return o
}

// run opens one connection after another until ctx ends.
func (c *publishConn) run(ctx context.Context) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		err := c.live(ctx)
		lived := time.Since(began)
		if c.ended(err, lived < pause) || lived > longestPause {
			pause = 0
			continue
		}
		wait := pause - lived
		pause = min(max(2*pause, shortestPause), longestPause)
		if wait <= 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		c.mu.Lock()
		c.pausing = nil
		c.mu.Unlock()
	}
}

// errRenewed ends a connection on which no more requests are answered, as the server
// announced: requests without a response were not processed (RFC 9112 §9.6) and are sent again.
var errRenewed = byServer("the server ends its connection")

// ended is after an attempt or a connection ended with err, and reports whether it was
// of use. If it was not, and the next attempt has to wait, messages do not.
func (c *publishConn) ended(err error, waits bool) (served bool) {
	c.attempted(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	served, refused := c.served, c.outcome.Refused
	if !errors.Is(err, errRenewed) {
		c.refuseLocked(c.waiting[:c.inFlight], true, fmt.Errorf("connection ended: %w", err))
		c.dropLocked(c.inFlight)
	}
	if waits && !served {
		c.pausing = fmt.Errorf("no connection: %w", err)
		c.refuseLocked(c.waiting, false, c.pausing)
		c.waiting = nil
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(m sent) bool { return m.stream == 0 })
	c.inFlight, c.size, c.served, c.failed = 0, 0, false, nil
	for _, m := range c.waiting {
		c.size += len(m.request)
	}
	if errors.Is(err, ErrUnreadable) {
		c.outcome.Unreadable += max(c.outcome.Refused-refused, 1)
	}
	c.settleLocked()
	return served
}

// live opens a connection and reads what comes until it ends, which is the error.
func (c *publishConn) live(ctx context.Context) error {
	conn, err := c.Dial(ctx, "")
	if err != nil {
		return err
	}
	c.answers.mu.Lock()
	c.answers.opened++
	c.answers.mu.Unlock()
	closed := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it ends the reads and writes
	if err = c.start(conn); err == nil {
		err = c.read(conn)
	}
	closed()
	_ = conn.Close() // the server may have been first
	c.mu.Lock()
	c.conn, c.ready, c.control = nil, false, nil
	if c.failed != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.failed
	}
	c.mu.Unlock()
	c.writer.Wait()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no response within %v", c.timeout)
	}
	return err
}

// start makes conn the connection.
func (c *publishConn) start(conn net.Conn) error {
	c.messages, c.upgraded, c.converse = leanConn{}, false, opensAtOnce
	c.mu.Lock()
	c.conn, c.asked = conn, time.Now()
	c.mu.Unlock()
	if !c.WebSocket {
		return c.say(nil)
	}
	c.flush(appendUpgrade(nil, c.paths[c.first], c.Host, c.Header))
	return nil
}

func (c *publishConn) read(conn net.Conn) error {
	buffer, kept := make([]byte, 4096), 0
	for {
		_ = conn.SetReadDeadline(c.until()) // an error is Read's too
		n, err := conn.Read(buffer[kept:])
		b := buffer[:kept+n]
		for len(b) > 0 {
			used, fault := c.input(b, errors.Is(err, io.EOF))
			if fault != nil {
				return fault
			}
			if used == 0 {
				break
			}
			b = b[used:]
		}
		switch kept = copy(buffer, b); {
		case errors.Is(err, io.EOF):
			return errEnded
		case err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(c.until())):
			return err
		case kept > partialLimit:
			return unreadable("a response or message of more than %d bytes", partialLimit)
		case kept == len(buffer):
			buffer = append(buffer, buffer...)
		}
	}
}

// until is when what is awaited is late, or later.
func (c *publishConn) until() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() {
		return time.Now().Add(c.timeout)
	}
	return c.asked.Add(c.timeout)
}

// input handles one whole thing at the start of b and returns its length, 0 if
// it is not whole yet.
func (c *publishConn) input(b []byte, ended bool) (n int, err error) {
	switch {
	case !c.WebSocket:
		a, n, err := parseAnswer(b, ended)
		if n == 0 || err != nil {
			return 0, err
		}
		return n, c.answered(a)
	case !c.upgraded:
		head, n, err := finalHead(b)
		if n == 0 || err != nil {
			return 0, err
		}
		if head.status != http.StatusSwitchingProtocols || string(head.accept) != leanAccept {
			return 0, byServer("upgrade refused: status %d %s, or a wrong Sec-WebSocket-Accept", head.status, http.StatusText(head.status))
		}
		c.upgraded = true
		if c.Converse != nil {
			c.converse = c.Converse(c.first)
		}
		return n, c.say(nil)
	}
	f, n, err := parseFrame(b, false)
	if n == 0 || err != nil {
		return 0, err
	}
	return n, c.frame(f)
}

func opensAtOnce([]byte) ([]byte, bool, error) { return nil, true, nil }

func (c *publishConn) answered(a answer) error {
	if a.status == http.StatusRequestTimeout && a.close {
		return errRenewed // for a request that arrived after it was sent (RFC 9110 §15.5.9)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		return byServer("an answer to nothing: status %d", a.status)
	}
	if c.Accepts(a.status, a.body) {
		c.acceptLocked(c.waiting[:1])
		c.answers.record(Now() - c.waiting[0].queued)
		c.outcome.Answer = append(c.outcome.Answer[:0], a.body...)
	} else {
		c.refuseLocked(c.waiting[:1], false, byServer("publishing: %d %s: %.200s", a.status, http.StatusText(a.status), a.body))
	}
	c.dropLocked(1)
	c.served = true
	if a.close {
		return errRenewed
	}
	if c.asked = (time.Time{}); c.inFlight > 0 {
		c.asked = time.Now()
	}
	c.sendLocked()
	return nil
}

// frame handles one frame of the server. What messages say is the conversation's.
func (c *publishConn) frame(f frame) error {
	switch f.opcode {
	case 0, 1, 2:
		message, whole, err := c.messages.message(&f)
		if !whole || err != nil || c.Converse == nil {
			return err
		}
		return c.say(append([]byte{}, message...)) // never nil
	case 8:
		c.flush(appendMasked(nil, 8, f.payload))
		_, err := closeFrame(f.payload)
		return err
	case 9:
		c.flush(appendMasked(nil, 10, f.payload))
	case 10:
	default:
		return unreadable("a frame of opcode %d", f.opcode)
	}
	return nil
}

// say goes on with the conversation.
func (c *publishConn) say(message []byte) error {
	frames, ready, err := c.converse(message)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = append(c.control, frames...)
	if ready && !c.ready {
		c.ready, c.asked = true, time.Time{}
		c.attempted(nil)
	}
	c.sendLocked()
	return err
}

// attempted is called with the end of each attempt; the first is reported.
func (c *publishConn) attempted(err error) {
	select {
	case c.opened <- err:
	default:
	}
}
