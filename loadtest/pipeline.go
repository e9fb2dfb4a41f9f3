package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// PublishTarget says where and how a Pipeline publishes.
type PublishTarget struct {
	Endpoint
	Path      func(stream int) string // of each stream's requests, or of its WebSocket
	WebSocket bool                    // a text frame each, on one connection per stream; otherwise a POST each
	Header    string                  // further lines of each request, each with its CRLF
	Streams   int

	// Peer, if it is not nil, makes the requests, for Channel(stream).
	Peer    Peer
	Channel func(stream int) string
}

// Pipeline publishes without waiting: what a server is slow to take, or to
// answer, holds up no schedule. The messages of one stream go over one
// connection, one behind the other, so their order is the server's to keep;
// HTTP requests are pipelined. A connection that ends is opened again, and what
// it left unanswered counts as refused.
//
// One goroutine calls Queue, Flush, Settle and Close.
type Pipeline struct {
	target PublishTarget
	pipes  []*pipe
	paths  []string       // per stream
	header string         // of each POST
	counts []uint64       // per stream, of messages since the last Settle
	wait   sync.WaitGroup // the pipes' writers, which end with stop
	stop   context.CancelFunc
}

const (
	maxPipes       = 8       // HTTP connections
	maxPipeBytes   = 8 << 20 // queued on one connection: beyond it messages are refused
	pipeRetryAfter = 200 * time.Millisecond
)

// pipe is one connection.
type pipe struct {
	*Pipeline
	first int           // its first stream
	more  chan struct{} // capacity 1: something is queued

	mu       sync.Mutex
	queued   []byte
	messages []sent // in queued
	written  []byte // requests that were not answered, in the order of waiting
	waiting  []sent // written, and not answered
	outcome  Outcome
	idle     chan struct{} // if not nil: closed when nothing is queued or waiting
	writing  bool
}

// sent is a message on its way. Its stream is 0 once its response is not awaited
// any more.
type sent struct {
	stream   int // from 1 on
	sequence uint64
	size     int // bytes of its request
}

// DialPipeline connects a publisher. The first connections must succeed.
func DialPipeline(ctx context.Context, target PublishTarget) (*Pipeline, error) {
	target.Streams, target.Host = max(target.Streams, 1), cmp.Or(target.Host, target.Addr)
	pipes := target.Streams
	if !target.WebSocket {
		pipes = min(pipes, maxPipes)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Pipeline{target: target, header: textHeader + target.Header, stop: stop, counts: make([]uint64, target.Streams)}
	for stream := range target.Streams {
		p.paths = append(p.paths, target.Path(stream))
	}
	for i := range pipes {
		c := &pipe{Pipeline: p, first: i, more: make(chan struct{}, 1)}
		conn, r, err := c.dial(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("publisher: %w", err), p.Close())
		}
		p.pipes = append(p.pipes, c)
		p.wait.Go(func() { c.write(background, conn, r) })
	}
	return p, nil
}

func (c *pipe) dial(ctx context.Context) (net.Conn, io.Reader, error) {
	if c.target.WebSocket {
		return upgrade(ctx, &c.target.Endpoint, c.paths[c.first])
	}
	conn, err := c.target.Dial(ctx, "")
	return conn, conn, err
}

// Queue gives a message to its stream's connection. It never blocks and its
// error is always nil: what cannot be sent counts as refused.
func (p *Pipeline) Queue(stream int, payload []byte) error {
	c := p.pipes[stream%len(p.pipes)]
	c.mu.Lock()
	defer c.mu.Unlock()
	p.counts[stream]++
	message, before := sent{stream: stream + 1, sequence: p.counts[stream]}, len(c.queued)
	if len(c.queued) > maxPipeBytes {
		c.refuseLocked([]sent{message}, false, errors.New("the server takes less than is published"))
		return nil
	}
	if peer := p.target.Peer; peer != nil {
		path, header, body := peer.Publish(p.paths[stream], p.target.Channel(stream), payload)
		c.queued = append(appendPost(c.queued, path, p.target.Host, p.target.Header+header, len(body)), body...)
	} else if p.target.WebSocket {
		c.queued = appendMasked(c.queued, 1, payload)
	} else {
		c.queued = append(appendPost(c.queued, p.paths[stream], p.target.Host, p.header, len(payload)), payload...)
	}
	message.size = len(c.queued) - before
	c.messages = append(c.messages, message)
	return nil
}

// Flush starts the sending of what was queued.
func (p *Pipeline) Flush() error {
	for _, c := range p.pipes {
		select {
		case c.more <- struct{}{}:
		default: // the writer will look anyway
		}
	}
	return nil
}

// Settle waits until everything was sent and answered, for at most timeout; what
// is still missing then counts as refused. It returns what became of the messages
// since the last Settle, and counts each stream's from 1 again.
func (p *Pipeline) Settle(timeout time.Duration) (all Outcome) {
	_ = p.Flush() // always nil
	clear(p.counts)
	all.Excused = make([][]Span, p.target.Streams)
	late := time.NewTimer(timeout)
	defer late.Stop()
	for _, c := range p.pipes {
		idle := c.idleSignal()
		select {
		case <-idle:
		case <-late.C:
			late.Reset(0) // for the others too
		}
		c.mu.Lock()
		reason := fmt.Errorf("no answer within %v", timeout)
		c.refuseLocked(c.waiting, true, reason)
		c.refuseLocked(c.messages, false, reason)
		for i := range c.waiting {
			c.waiting[i].stream = 0 // their answers may still come
		}
		c.messages, c.queued = c.messages[:0], c.queued[:0]
		all.add(c.outcome)
		c.outcome = Outcome{}
		c.mu.Unlock()
	}
	for i := range all.Excused {
		all.Excused[i] = joined(all.Excused[i])
	}
	return all
}

func (c *pipe) idleSignal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = make(chan struct{})
	c.settleLocked()
	if c.idle == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return c.idle
}

// Close ends all connections.
func (p *Pipeline) Close() error {
	p.stop()
	p.wait.Wait()
	return nil
}

// write is the writer of c: it sends what is queued, and connects again. It ends
// with ctx.
func (c *pipe) write(ctx context.Context, conn net.Conn, r io.Reader) {
	for ctx.Err() == nil {
		if conn != nil && c.serve(ctx, conn, r) {
			conn = nil // the next connection at once
		} else {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pipeRetryAfter):
			}
		}
		var err error
		if conn, r, err = c.dial(ctx); err != nil {
			conn = nil
			c.mu.Lock()
			if errors.Is(err, ErrUnreadable) {
				c.outcome.Unreadable += uint64(len(c.messages))
			}
			c.refuseLocked(c.messages, false, err) // no server takes them in time
			c.messages, c.queued = c.messages[:0], c.queued[:0]
			c.settleLocked()
			c.mu.Unlock()
		}
	}
}

// errRenewed ends a connection on which no more requests are answered, as the server
// announced: requests without a response were not processed (RFC 9112 §9.6) and are sent again.
var errRenewed = errors.New("the server ends its connection")

// serve sends on conn until it ends, or ctx does. orderly says that the server had a
// right to end it, and the next should be opened at once.
func (c *pipe) serve(ctx context.Context, conn net.Conn, r io.Reader) (orderly bool) {
	ended := make(chan error, 1)
	served := false
	go func() { ended <- c.answers(r, &served) }() // ends with conn
	_ = c.sendQueued(ctx, conn, ended)             // the reader's error says more
	if ctx.Err() != nil {
		_ = conn.Close() // it ends the reader
	} else { // what the server said before it hung up is still to be read
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	}
	err := <-ended
	_ = conn.Close() // the server may have been first
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.settleLocked()
	if errors.Is(err, errRenewed) {
		c.messages = append(c.waiting, c.messages...)
		c.queued = append(c.written, c.queued...)
		c.waiting, c.written = nil, nil
		return true
	}
	orderly = served && len(c.waiting) == 0
	if errors.Is(err, ErrUnreadable) {
		c.outcome.Unreadable += max(uint64(len(c.waiting)), 1)
	}
	c.refuseLocked(c.waiting, true, fmt.Errorf("connection ended: %w", err))
	c.waiting, c.written = c.waiting[:0], c.written[:0]
	return orderly
}

func (c *pipe) sendQueued(ctx context.Context, conn net.Conn, ended chan error) error {
	unblock := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a write under way ends with it
	defer unblock()
	var out []byte
	for {
		select {
		case err := <-ended:
			ended <- err // for serve
			return err
		default:
		}
		c.mu.Lock()
		out, c.queued = c.queued, out[:0]
		c.waiting = append(c.waiting, c.messages...)
		if !c.target.WebSocket {
			c.written = append(c.written, out...)
		}
		c.messages, c.writing = c.messages[:0], len(out) > 0
		c.settleLocked()
		c.mu.Unlock()
		if len(out) > 0 {
			if err := conn.SetWriteDeadline(time.Now().Add(publishTimeout)); err != nil {
				return err
			}
			_, err := conn.Write(out)
			c.mu.Lock()
			c.writing = false
			if c.target.WebSocket && err == nil {
				c.waiting = c.waiting[:0] // a frame has no answer
			}
			c.settleLocked()
			c.mu.Unlock()
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-c.more:
		case err := <-ended:
			ended <- err // for serve
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answers reads what comes back until the connection ends. served says whether one
// has come; it may be read once answers has returned.
func (c *pipe) answers(r io.Reader, served *bool) error {
	if c.target.WebSocket {
		_, err := io.Copy(io.Discard, r)
		return errors.Join(err, io.EOF)
	}
	for all := newResponses(r); ; {
		answer, body, err := all.next(512)
		if err != nil {
			return err
		}
		if answer.StatusCode == http.StatusRequestTimeout && answer.Close {
			return errRenewed // for a request that arrived after it was sent (RFC 9110 §15.5.9)
		}
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.mu.Unlock()
			return fmt.Errorf("an answer to nothing: %s", answer.Status)
		}
		if answer.StatusCode/100 != 2 {
			c.refuseLocked(c.waiting[:1], false, fmt.Errorf("publishing: %s: %.200s", answer.Status, body))
		}
		c.written = c.written[c.waiting[0].size:]
		c.waiting = c.waiting[1:]
		*served = true
		c.settleLocked()
		c.mu.Unlock()
		if answer.Close {
			return errRenewed
		}
	}
}

func (c *pipe) settleLocked() {
	if c.idle != nil && len(c.messages) == 0 && len(c.waiting) == 0 && !c.writing {
		close(c.idle)
		c.idle = nil
	}
}
