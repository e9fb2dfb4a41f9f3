package loadtest

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"peal/loadtest/child"
)

// MaxPerWorker is how many connections a Pool gives one worker process, well
// under a descriptor limit of 20,000.
const MaxPerWorker = 15_000

// Pool is the subscribers of one or more worker processes. Its methods are
// called by one goroutine; each blocks until all workers have answered, for at
// most the time its operation allows.
type Pool struct {
	workers []*remote
	run     uint16
	timeout time.Duration // of opening
	moved   chan struct{} // capacity 1: some worker's have changed
	excused [][]Span      // per stream: messages of the current run that may be missing
	plan    *plan         // stages of the run that Begin begins; nil: a single one
}

// remote is one worker process, on this machine or at an agent.
type remote struct {
	name     string      // in errors
	twin     *child.Twin // nil: at an agent
	in       io.Closer
	out      io.ReadCloser
	clock    *Clock // of one at an agent; nil: this machine's
	commands *json.Encoder
	answers  chan event    // closed at the end of its output
	have     atomic.Uint64 // run<<48 | messages; stored by read, a newer one always greater
	err      error         // why answers was closed; read after that
}

// answerSlack is how much longer than its operation an answer may take.
const answerSlack = 20 * time.Second

// LoopbackSources are source addresses for as many workers as reach a server on
// this machine: each has about 28,000 ports.
var LoopbackSources = []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9"}

// OpenPool starts the workers that spec needs and opens all connections. Not
// all of them opening is no error here: see Opened.Err. The Pool must be
// closed.
//
// The current run of a new pool is 1: messages stamped with it count at once,
// also while connections are still being opened.
func OpenPool(ctx context.Context, spec Spec, sources ...string) (*Pool, Opened, error) {
	return OpenParts(ctx, Split(spec, sources...))
}

// Split divides spec among as many workers as it needs. Their source addresses
// rotate through sources; without any, the kernel chooses. Every agent gets a share.
func Split(spec Spec, sources ...string) []Spec {
	spec = spec.withDefaults()
	parts := make([]Spec, max((spec.Connections+MaxPerWorker-1)/MaxPerWorker, min(len(spec.Agents), spec.Connections), 1))
	for i := range parts {
		part := spec
		part.First = spec.Connections * i / len(parts)
		part.Connections = spec.Connections*(i+1)/len(parts) - part.First
		if i > 0 {
			part.Stalled = 0
		}
		if len(sources) > 0 {
			part.Source = sources[i%len(sources)]
		}
		if n := len(spec.Agents); n > 0 {
			part.Agents = spec.Agents[i%n : i%n+1]
		}
		parts[i] = part
	}
	return parts
}

// OpenParts is OpenPool for parts that may differ, in transport or server: a
// worker for each. All must have the same streams.
func OpenParts(ctx context.Context, parts []Spec) (*Pool, Opened, error) {
	p := &Pool{moved: make(chan struct{}, 1), run: firstRun}
	for i := range parts {
		parts[i] = parts[i].withDefaults()
		p.timeout = max(p.timeout, parts[i].Timeout)
		r, err := startWorker(ctx, &parts[i], p.moved)
		if err != nil {
			return nil, Opened{}, errors.Join(err, p.Close())
		}
		p.workers = append(p.workers, r)
	}
	if err := p.compareClocks(ctx); err != nil {
		return nil, Opened{}, errors.Join(err, p.Close())
	}
	var opened Opened
	err := p.each(ctx, p.timeout, func(i int) command {
		return command{Op: "open", Spec: &parts[i]}
	}, func(e event) error {
		if e.Opened == nil {
			return errors.New("worker sent no result of open")
		}
		opened.Add(*e.Opened)
		return nil
	})
	if err != nil {
		return nil, opened, errors.Join(err, p.Close())
	}
	return p, opened, nil
}

// startWorker starts a worker for part. It ends with its input.
func startWorker(ctx context.Context, part *Spec, moved chan struct{}) (*remote, error) {
	r := &remote{answers: make(chan event, 1)}
	var in io.WriteCloser
	if len(part.Agents) > 0 {
		conn, err := dialAgent(ctx, part.Agents[0], part.AgentToken)
		if err != nil {
			return nil, err
		}
		r.name, r.clock = "worker at agent "+part.Agents[0], &Clock{Agent: part.Agents[0]}
		in, r.out = conn, conn
	} else {
		twin, err := Worker.Start(ctx, "")
		if err != nil {
			return nil, err
		}
		r.name, r.twin = fmt.Sprintf("worker %d", twin.PID), twin
		in, r.out = twin.In, twin.Out
	}
	r.in, r.commands = in, json.NewEncoder(in)
	go r.read(moved) // ends with the worker's output
	return r, nil
}

// compareClocks compares the clocks of the agents' workers with this machine's.
func (p *Pool) compareClocks(ctx context.Context) error {
	for _, r := range p.workers {
		if r.clock == nil {
			continue
		}
		if err := r.compare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Clocks are the clocks of the workers at agents.
func (p *Pool) Clocks() (all []Clock) {
	for _, r := range p.workers {
		if r.clock != nil {
			all = append(all, *r.clock)
		}
	}
	return all
}

func (r *remote) read(moved chan struct{}) {
	defer close(r.answers)
	defer r.out.Close()
	d := json.NewDecoder(bufio.NewReader(r.out))
	for {
		var e event
		if err := d.Decode(&e); err != nil {
			r.err = fmt.Errorf("%s ended: %w", r.name, err)
			return
		}
		if e.Op == "clock" {
			e.at = Now()
		}
		if e.Op == "have" {
			r.have.Store(e.Have)
			select {
			case moved <- struct{}{}:
			default:
			}
			continue
		}
		r.answers <- e
	}
}

// each sends a command to every worker and takes every answer.
func (p *Pool) each(ctx context.Context, allowed time.Duration, c func(i int) command, take func(event) error) error {
	for i, r := range p.workers {
		if err := r.commands.Encode(c(i)); err != nil {
			return fmt.Errorf("command to %s: %w", r.name, err)
		}
	}
	late := time.NewTimer(allowed + answerSlack)
	defer late.Stop()
	for _, r := range p.workers {
		e, err := r.answer(ctx, late.C, allowed+answerSlack)
		if err == nil {
			err = take(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answer waits for the answer to a command until late, which is after so long.
func (r *remote) answer(ctx context.Context, late <-chan time.Time, after time.Duration) (event, error) {
	select {
	case e, ok := <-r.answers:
		switch {
		case !ok:
			return e, r.err
		case e.Error != "":
			return e, fmt.Errorf("%s: %s", r.name, e.Error)
		}
		return e, nil
	case <-ctx.Done():
		return event{}, ctx.Err()
	case <-late:
		return event{}, fmt.Errorf("%s: no reply within %v", r.name, after)
	}
}

// Begin starts a new run, of messages of size bytes, and returns its number for the
// stamps. progress asks for Have, which a closed loop needs.
func (p *Pool) Begin(ctx context.Context, size int, progress bool) (run uint16, err error) {
	if err := p.compareClocks(ctx); err != nil {
		return 0, err
	}
	p.run++
	p.excused = nil
	c := command{Op: "begin", Run: p.run, Size: size, Progress: progress, Stages: p.plan}
	err = p.each(ctx, 0, func(int) command { return c }, func(event) error { return nil })
	return p.run, err
}

// Have returns how many of the run's messages every subscriber has, counted
// from the first; Moved signals a change of it.
func (p *Pool) Have() uint64 {
	least := uint64(1)<<48 - 1
	for _, r := range p.workers {
		v := r.have.Load()
		if uint16(v>>48) != p.run {
			return 0
		}
		least = min(least, v&(1<<48-1))
	}
	return least
}

// Moved has a signal after Have changed. It may signal without a change.
func (p *Pool) Moved() <-chan struct{} { return p.moved }

// Await waits until every subscriber has everything that was published, per
// stream, or until timeout; complete says which.
func (p *Pool) Await(ctx context.Context, published []uint64, timeout time.Duration) (complete bool, err error) {
	c := command{Op: "await", Published: published, Excused: p.excused, Timeout: timeout}
	complete = true
	err = p.each(ctx, timeout, func(int) command { return c }, func(e event) error {
		complete = complete && e.Complete
		return nil
	})
	return complete, err
}

// Received is what all subscribers together got in a run.
type Received struct {
	Counts
	Late        uint64   `json:"late,omitempty"` // in a sample: deliveries that were due and did not come, yet
	Traffic     Traffic  `json:"traffic"`
	Latency     *Latency `json:"latency"`
	Waits       *Latency `json:"waits,omitempty"`       // in a report: for each delivery, what the receiving loop waited for a processor
	Stages      []Part   `json:"stages,omitempty"`      // of a run with several, in Report only
	Open        int      `json:"open"`                  // connections that are subscribed now
	Closed      int      `json:"closed"`                // connections that the server ended, since they were opened
	Renewed     int      `json:"renewed,omitempty"`     // connections that were opened anew because the server had ended one between two requests
	Gaps        uint64   `json:"gaps,omitempty"`        // notices that messages are gone
	Recovery    *Latency `json:"recovery,omitempty"`    // after Drop: from the drop until a client was back and had all it missed
	Returned    *Latency `json:"returned,omitempty"`    // with a Backoff: from the end of each connection until the client was subscribed again
	Unrecovered int      `json:"unrecovered,omitempty"` // clients that never had; they are in Recovery as lost
	Unreadable  int      `json:"unreadable,omitempty"`  // connections whose server the load test could not read: what they lack is not lost
	Unread      string   `json:"unread,omitempty"`      // why, of the first
	Damage      string   `json:"damage,omitempty"`      // what was wrong with the first damaged message
	Ends        []End    `json:"ends,omitempty"`        // why connections ended or did not open: Closed, and those that failed
	Stranger    string   `json:"stranger,omitempty"`    // the first foreign message, quoted, at most 200 bytes of it
}

// add adds another worker's.
func (r *Received) add(other *Received) error {
	r.Counts.Add(other.Counts)
	r.Late += other.Late
	r.Traffic.Read += other.Traffic.Read
	r.Traffic.Written += other.Traffic.Written
	r.Traffic.Compressed += other.Traffic.Compressed
	r.Traffic.Inflated += other.Traffic.Inflated
	r.Open += other.Open
	r.Closed += other.Closed
	r.Renewed += other.Renewed
	r.Gaps += other.Gaps
	r.Unrecovered += other.Unrecovered
	r.Unreadable += other.Unreadable
	r.Stranger = cmp.Or(r.Stranger, other.Stranger)
	r.Unread, r.Damage = cmp.Or(r.Unread, other.Unread), cmp.Or(r.Damage, other.Damage)
	for _, e := range other.Ends {
		r.Ends = AddEnd(r.Ends, e)
	}
	var err error
	if r.Stages, err = addParts(r.Stages, other.Stages); err != nil {
		return err
	}
	for _, both := range []struct {
		to   **Latency
		from *Latency
	}{{&r.Recovery, other.Recovery}, {&r.Returned, other.Returned}, {&r.Waits, other.Waits}} {
		if both.from == nil {
			continue
		}
		if *both.to == nil {
			*both.to = NewLatency()
		}
		if err := (*both.to).Merge(both.from); err != nil {
			return err
		}
	}
	return r.Latency.Merge(other.Latency)
}

// Report returns what came in the current run, given how many messages each
// stream had.
func (p *Pool) Report(ctx context.Context, published []uint64) (Received, error) {
	return p.received(ctx, command{Op: "report", Published: published, Excused: p.excused})
}

// Sample returns what came in the current run until now: nothing is lost yet. Of the
// messages due, how many of each stream, it returns those that have not come as Late.
func (p *Pool) Sample(ctx context.Context, due []uint64) (Received, error) {
	return p.received(ctx, command{Op: "sample", Published: due})
}

func (p *Pool) received(ctx context.Context, c command) (Received, error) {
	all := Received{Latency: NewLatency()}
	err := p.each(ctx, 0, func(int) command { return c }, func(e event) error {
		if e.Received == nil || e.Received.Latency == nil {
			return errors.New("worker sent an incomplete report")
		}
		return all.add(e.Received)
	})
	return all, err
}

// Drop ends all connections at once and opens them again after away, each from
// the newest cursor it had: Spec.Resume must be set. It does not wait for them.
func (p *Pool) Drop(ctx context.Context, away time.Duration) error {
	c := command{Op: "drop", Timeout: away}
	return p.each(ctx, 0, func(int) command { return c }, func(event) error { return nil })
}

// Back waits, for at most timeout, until all dropped connections are back, and says
// how it went.
func (p *Pool) Back(ctx context.Context, timeout time.Duration) (opened Opened, err error) {
	c := command{Op: "back", Timeout: timeout}
	err = p.each(ctx, timeout, func(int) command { return c }, func(e event) error {
		if e.Opened == nil {
			return errors.New("worker sent no result of open")
		}
		opened.Add(*e.Opened)
		return nil
	})
	return opened, err
}

// Usage is what each worker has used so far.
func (p *Pool) Usage(ctx context.Context) (all []Usage, err error) {
	err = p.each(ctx, 0, func(int) command { return command{Op: "usage"} }, func(e event) error {
		if e.Usage == nil {
			return errors.New("worker sent no usage")
		}
		u := *e.Usage
		if c := p.workers[len(all)].clock; c != nil {
			u.Agent = c.Agent
		}
		all = append(all, u)
		return nil
	})
	return all, err
}

// Close ends all workers, and with them the connections, and waits for them.
func (p *Pool) Close() error {
	var all sync.WaitGroup
	errs := make([]error, len(p.workers))
	for i, r := range p.workers {
		all.Go(func() {
			_ = r.in.Close() // it may have been killed already
			for range r.answers {
				// The reader must not block on an unexpected reply.
			}
			if r.twin == nil {
				return
			}
			if err := r.twin.Wait(answerSlack); err != nil {
				errs[i] = fmt.Errorf("worker: %w", err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
