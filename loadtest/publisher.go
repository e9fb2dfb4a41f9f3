package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// PublishTarget says where and how a Publisher publishes.
type PublishTarget struct {
	Endpoint
	Path      func(stream int) string // of each stream's requests, or of its WebSocket
	WebSocket bool                    // a text frame each; otherwise a POST each
	Header    string                  // further lines of each request, each with its CRLF
	Streams   int                     // default 1
	timeout   time.Duration           // of each write, answer and opening; default 20 s

	// Connections is over how many the streams are divided: at most one a stream.
	// Default 8; of WebSockets one a stream, which is also so if their paths differ.
	Connections int

	// Pipeline is how many requests without a response one HTTP connection may have.
	// Default 1: none is pipelined.
	Pipeline int

	// Compose appends what publishes payload in a stream: one HTTP request (see
	// AppendRequest), or masked frames. nil: a POST of the payload, or a text frame.
	Compose func(dst []byte, stream int, payload []byte) []byte

	// Accepts says whether a response accepts its message. It is called by several
	// goroutines. nil: those with a 2xx do.
	Accepts func(status int, body []byte) bool

	// Converse, if it is not nil, begins the conversation of one WebSocket, whose first
	// stream is given: a function that is called with nil once the connection is open,
	// and then with each message of the server. It returns frames to send, and whether
	// messages may be published from now on; an error ends the connection.
	Converse func(stream int) func(message []byte) (frames []byte, ready bool, err error)
}

// PublishPath is Peal's: POST /publish?channel=prefix+stream.
func PublishPath(prefix string) func(stream int) string {
	return func(stream int) string {
		return "/publish?channel=" + url.QueryEscape(ChannelName(prefix, stream))
	}
}

// Publisher publishes each message to all of its targets, and never waits for them:
// what a server is slow to take, or to answer, holds up no schedule. The messages of
// one stream go over one connection, one behind the other, so their order is the
// server's to keep. A connection that ends is opened again.
//
// Each message is accepted (answered with a 2xx, or written as a frame) or counts as
// refused: see Outcome.
//
// One goroutine calls its methods, but for Answered.
type Publisher struct {
	targets  []*publishTarget
	counts   []uint64       // per stream, of messages since the last Settle
	due      []*publishConn // they were given messages since the last Flush
	composed []byte
	wait     sync.WaitGroup // for the connections, which end with stop
	stop     context.CancelFunc
	answers  answers
}

// answers is how long messages waited for their response, since they were queued, and how often
// there was a connection to wait on. It is safe for concurrent use.
type answers struct {
	mu     sync.Mutex
	waits  *Latency
	opened int
}

func (a *answers) record(ns int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waits.Record(ns)
}

// Answered is how long the publications that were accepted over HTTP waited for their
// response, each since it was queued, and how many connections the publisher has opened. Any
// goroutine may call it.
func (p *Publisher) Answered() (waits *Latency, opened int) {
	p.answers.mu.Lock()
	defer p.answers.mu.Unlock()
	return p.answers.waits.clone(), p.answers.opened
}

// publishTarget is one PublishTarget in use.
type publishTarget struct {
	PublishTarget
	paths   []string // per stream
	conns   []*publishConn
	answers *answers
}

const (
	publishTimeout    = 20 * time.Second
	publishQueueBytes = 8 << 20 // waiting for one connection: beyond it messages are refused
)

// DialPublisher connects a publisher. All have the first target's number of streams.
// The first connections must succeed.
func DialPublisher(ctx context.Context, targets ...PublishTarget) (*Publisher, error) {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Publisher{stop: stop, counts: make([]uint64, max(targets[0].Streams, 1)), answers: answers{waits: NewLatency()}}
	for _, to := range targets {
		t := newPublishTarget(to, len(p.counts))
		t.answers = &p.answers
		p.targets = append(p.targets, t)
		for i := range t.conns {
			c := &publishConn{publishTarget: t, first: i, opened: make(chan error, 1)}
			t.conns[i] = c
			p.wait.Go(func() { c.run(background) })
			var err error
			select {
			case err = <-c.opened:
			case <-ctx.Done():
				err = ctx.Err()
			}
			if err != nil {
				return nil, errors.Join(fmt.Errorf("publisher to %s: %w", t.Host, err), p.Close())
			}
		}
	}
	return p, nil
}

func newPublishTarget(to PublishTarget, streams int) *publishTarget {
	to.Host, to.Pipeline, to.timeout = cmp.Or(to.Host, to.Addr), max(to.Pipeline, 1), cmp.Or(to.timeout, publishTimeout)
	t := &publishTarget{PublishTarget: to}
	for stream := range streams {
		t.paths = append(t.paths, to.Path(stream))
		if to.WebSocket && t.paths[stream] != t.paths[0] {
			to.Connections = 0
		}
	}
	if to.Connections <= 0 && to.WebSocket {
		to.Connections = streams
	}
	t.conns = make([]*publishConn, min(cmp.Or(max(to.Connections, 0), 8), streams))
	if to.Accepts == nil {
		t.Accepts = func(status int, _ []byte) bool { return status/100 == 2 }
	}
	if to.Compose == nil {
		t.Compose = func(dst []byte, stream int, payload []byte) []byte {
			if to.WebSocket {
				return appendMasked(dst, 1, payload)
			}
			return AppendRequest(dst, "POST", t.paths[stream], to.Host, textHeader+to.Header, payload)
		}
	}
	return t
}

// Queue gives a message to its stream's connections. It never blocks.
func (p *Publisher) Queue(stream int, payload []byte) {
	p.counts[stream]++
	for _, t := range p.targets {
		p.composed = t.Compose(p.composed[:0], stream, payload)
		c := t.conns[stream%len(t.conns)]
		if c.queue(stream, p.counts[stream], p.composed) {
			p.due = append(p.due, c)
		}
	}
}

// Flush sends what was queued, as far as that needs no waiting; the rest follows when
// it can.
func (p *Publisher) Flush() {
	for _, c := range p.due {
		c.flush(nil)
	}
	p.due = p.due[:0]
}

// Settle waits until everything was sent and answered, for at most timeout; what
// is still missing then counts as refused. It returns what became of the messages
// since the last Settle, and counts each stream's from 1 again.
func (p *Publisher) Settle(timeout time.Duration) (all Outcome) {
	p.Flush()
	clear(p.counts)
	if len(p.targets) == 1 {
		all.Excused = make([][]Span, len(p.counts))
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	for _, t := range p.targets {
		for _, c := range t.conns {
			select {
			case <-c.idleSignal():
			case <-late.C:
				late.Reset(0) // for the others too
			}
			all.add(c.giveUp(fmt.Errorf("no response within %v", timeout)))
		}
	}
	for i := range all.Excused {
		all.Excused[i] = joined(all.Excused[i])
	}
	return all
}

// Publish sends one message and waits for its answer, whose body it returns.
func (p *Publisher) Publish(stream int, payload []byte) (answer []byte, err error) {
	p.Queue(stream, payload)
	o := p.Settle(publishTimeout)
	return o.Answer, o.Reason
}

// Close ends all connections. Its error is always nil.
func (p *Publisher) Close() error {
	p.stop()
	p.wait.Wait()
	return nil
}
