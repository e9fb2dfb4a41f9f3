package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Opened says how opening a fleet went.
type Opened struct {
	Connections int           `json:"connections"`        // subscribed
	Deflated    int           `json:"deflated,omitempty"` // of those: with messages that may be compressed
	Failed      int           `json:"failed"`
	FirstError  string        `json:"first_error,omitempty"`
	Took        time.Duration `json:"took"`
	Handshake   *Latency      `json:"handshake,omitempty"` // of those that were subscribed: from the connect, or from when OpenRate meant it
}

// Add adds another worker's connections; Took becomes the longer one.
func (o *Opened) Add(other Opened) {
	o.Connections += other.Connections
	o.Failed += other.Failed
	o.Deflated += other.Deflated
	o.Took = max(o.Took, other.Took)
	o.FirstError = cmp.Or(o.FirstError, other.FirstError)
	if o.Handshake == nil {
		o.Handshake = NewLatency()
	}
	if other.Handshake != nil {
		_ = o.Handshake.Merge(other.Handshake) // same geometry: nothing can be out of range
	}
}

// ErrOpen means that not all subscribers could be opened.
var ErrOpen = errors.New("not all subscribers could be opened")

// Err returns nil when all were opened, and ErrOpen with the first reason.
func (o Opened) Err() error {
	if o.Failed == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d failed: %s", ErrOpen, o.Failed, o.Failed+o.Connections, o.FirstError)
}

// opener is a kind of subscriber: it opens all connections of spec into sink
// and keeps them until close.
type opener interface {
	open(ctx context.Context) Opened
	// drop ends all connections and opens them again after away, from the
	// cursors they had; open then waits again. Only the epoll kind can.
	drop(away time.Duration) error
	close()
}

// fleet is the subscribers of this process.
type fleet struct {
	spec Spec
	sink *sink
	kind opener
}

// firstRun is the run of messages that come before a pool begins another.
const firstRun = 1

func newFleet(spec Spec) (*fleet, error) {
	spec = spec.withDefaults()
	f := &fleet{spec: spec, sink: newSink(&spec)}
	f.sink.begin(firstRun, 0, false) // before connections open: their first messages count
	var err error
	switch spec.Kind {
	case GWS:
		f.kind, err = newGWSKind(&f.spec, f.sink)
	case Epoll:
		f.kind, err = newEpollKind(&f.spec, f.sink)
	default:
		err = fmt.Errorf("unknown kind of subscriber %q: use %q or %q", spec.Kind, GWS, Epoll)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// await waits until every subscriber has what was published, but for what is
// excused, or for timeout.
func (f *fleet) await(published []uint64, excused [][]Span, timeout time.Duration) bool {
	late := time.After(timeout)
	if excused == nil {
		select {
		case <-f.sink.expect(published):
			return true
		case <-late:
			return false
		}
	}
	// What is excused may come all the same, so a count of deliveries says nothing.
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for f.sink.lacks(published, excused) {
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
	return true
}
