package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"peal/loadtest/child"
)

// command is one line from the pool to a worker.
type command struct {
	Op        string        `json:"op"` // clock, usage, open, begin, await, sample, report, drop, back
	Spec      *Spec         `json:"spec,omitempty"`
	Run       uint16        `json:"run,omitempty"`
	Size      int           `json:"size,omitempty"` // of a run's messages
	Progress  bool          `json:"progress,omitempty"`
	Stages    *plan         `json:"stages,omitempty"`
	Published []uint64      `json:"published,omitempty"`
	Excused   [][]Span      `json:"excused,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"`
	Offset    *int64        `json:"offset,omitempty"` // of clock: what to add to the worker's own; nil: it only tells the time
}

// event is one line from a worker to the pool: the answer to a command, or
// op "have", which is not a reply.
type event struct {
	Op       string    `json:"op"`
	Error    string    `json:"error,omitempty"`
	Have     uint64    `json:"have,omitempty"`
	Opened   *Opened   `json:"opened,omitempty"`
	Complete bool      `json:"complete,omitempty"`
	Received *Received `json:"received,omitempty"`
	Usage    *Usage    `json:"usage,omitempty"`
	Now      int64     `json:"now,omitempty"` // of clock: the worker's own

	at int64 // Now() of the pool when it came; of clock only
}

// Worker is the role of a worker: it serves one pool.
var Worker = child.Role{Name: "PEAL_LOADTEST_WORKER", Main: serveWorker}

// gcPercent is the collector's GOGC once the connections are open. What is left
// to allocate are a few bytes for each message of a gws connection, so it seldom
// runs, and at the default a worker would hold twice what its connections need.
const gcPercent = 20

// worker is the far end of a remote. Its commands are handled one by one.
type worker struct {
	fleet *fleet

	mu  sync.Mutex // one line at a time
	out *json.Encoder

	stop chan struct{}  // closed at the end
	wait sync.WaitGroup // the progress goroutine, which ends with stop
}

func serveWorker(_ string, in io.Reader, out io.Writer) error {
	w := &worker{out: json.NewEncoder(out), stop: make(chan struct{})}
	defer func() {
		close(w.stop)
		if w.fleet != nil {
			w.fleet.kind.close()
		}
		w.wait.Wait()
	}()
	d := json.NewDecoder(bufio.NewReader(in))
	for {
		var c command
		if err := d.Decode(&c); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read command: %w", err)
		}
		answer, err := w.handle(c)
		answer.Op = c.Op
		if err != nil {
			answer.Error = err.Error()
		}
		if err := w.send(answer); err != nil {
			return err
		}
	}
}

func (w *worker) send(e event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Encode(e); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

func (w *worker) handle(c command) (e event, err error) {
	switch c.Op {
	case "clock":
		if c.Offset != nil {
			clockOffset.Store(*c.Offset)
		}
		e.Now = ownNow()
		return e, nil
	case "usage":
		e.Usage, err = ReadUsage()
		return e, err
	}
	if w.fleet == nil && c.Op != "open" {
		return e, fmt.Errorf("%q before \"open\"", c.Op)
	}
	switch c.Op {
	case "open":
		if w.fleet != nil {
			return e, fmt.Errorf("opened twice")
		}
		if w.fleet, err = newFleet(*c.Spec); err != nil {
			return e, err
		}
		opened := w.fleet.kind.open(context.Background())
		e.Opened = &opened
		debug.SetGCPercent(gcPercent)
		debug.FreeOSMemory()
		w.wait.Go(w.progress)
	case "begin":
		w.fleet.sink.begin(c.Run, c.Size, c.Progress)
		w.fleet.sink.stage(c.Stages)
	case "await":
		e.Complete = w.fleet.await(c.Published, c.Excused, c.Timeout)
	case "report":
		r := w.fleet.sink.report(c.Published, c.Excused)
		e.Received = &r
	case "sample":
		r := w.fleet.sink.sample()
		if c.Published != nil {
			r.Late = w.fleet.sink.late(c.Published)
		}
		e.Received = &r
	case "drop":
		return e, w.fleet.kind.drop(c.Timeout)
	case "back":
		ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
		defer cancel()
		opened := w.fleet.kind.open(ctx)
		e.Opened = &opened
	default:
		err = fmt.Errorf("unknown command %q", c.Op)
	}
	return e, err
}

// progress reports every change of have. It ends with stop.
func (w *worker) progress() {
	s := w.fleet.sink
	for {
		select {
		case <-w.stop:
			return
		case <-s.moved:
		}
		s.mu.Lock()
		have, run := s.have, s.run
		s.mu.Unlock()
		// A write fails when the pool is gone; then in ends, too.
		_ = w.send(event{Op: "have", Have: uint64(run)<<48 | have})
	}
}
