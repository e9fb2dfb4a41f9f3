package workers

import (
	"sync"

	"peal/server/refusal"
	"peal/server/share"
	"peal/server/tally"
)

// maxQueuedBytes bounds the copied bodies that wait or are worked on, however
// many jobs may be queued.
const maxQueuedBytes = 16 << 20

// ErrBusy refuses a job for which there is no room.
var ErrBusy = &refusal.Error{Status: 503, Code: "busy", Message: "too many requests wait for a worker (worker-queue): try again in a second", Close: 1013}

// Pool is a small pool of goroutines for requests that could keep a loop busy.
// All loops share it. Their time is divided among addresses and connections: see
// fair. When the queue is full, the last in turn of the address that has most in
// it is refused with ErrBusy.
type Pool struct {
	// Fixed.
	queue   int
	done    sync.WaitGroup
	waiting func() int // bytes of answers that no loop has taken yet; see Count

	// Shared.
	mu      sync.Mutex // guards what follows
	some    sync.Cond  // there is a job, or closed
	jobs    fair
	number  uint64 // of the job that came last
	running int    // bytes of the jobs that are worked on
	closed  bool

	tally *tally.Shared
}

// Job is what one request has a worker do.
type Job struct {
	// Fixed by the caller of Try.
	Share   share.Key
	Session uint64
	Bytes   int                  // of a body that it holds
	Cost    int                  // about how many microseconds it takes, beside jobCost and its bytes
	Run     func()               // responds
	Refuse  func(*refusal.Error) // responds that there was no room; on any goroutine

	// Of the queue.
	number uint64
	end    uint64
}

// What each job costs.
const (
	jobCost      = 50
	jobCostBytes = 64 // bytes of a body to a microsecond
)

// New starts n goroutines, which end with Close, behind a queue of that
// length. Good numbers are 2 and 256.
func New(n, queue int) *Pool {
	w := &Pool{queue: queue, jobs: newFair(), tally: tally.NewShared()}
	w.some.L = &w.mu
	for range n {
		w.done.Go(w.work)
	}
	return w
}

func (w *Pool) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.jobs.jobs == 0 && !w.closed {
			w.some.Wait()
		}
		if w.closed {
			return
		}
		j := w.jobs.pop()
		w.running += j.Bytes
		w.mu.Unlock()
		if j.Bytes == 0 && w.crowded() {
			j.Refuse(ErrBusy)
		} else {
			j.Run()
		}
		w.mu.Lock()
		w.running -= j.Bytes
	}
}

// maxWaitingBytes bounds the answers that are ready and that no loop has taken
// yet: workers must not fill the memory while a loop is busy. Beyond it queries are
// refused; batches, whose answers are small, are not.
const maxWaitingBytes = 16 << 20

// Count has the workers count their answers until a loop has taken them: waiting is
// their bytes at the moment. Any goroutine calls it. Before the first request.
func (w *Pool) Count(waiting func() int) { w.waiting = waiting }

func (w *Pool) crowded() bool { return w.waiting != nil && w.waiting() > maxWaitingBytes }

// Try queues a job, or returns why there is no room for it. Another may have to
// make way, and is refused. It never waits for a job.
func (w *Pool) Try(j *Job) *refusal.Error {
	j.Cost += jobCost + j.Bytes/jobCostBytes
	var victims []*Job
	w.mu.Lock()
	ok := !w.closed && j.Bytes+w.running <= maxQueuedBytes && w.queue > 0
	for ok && (w.jobs.jobs >= w.queue || w.jobs.bytes+w.running+j.Bytes > maxQueuedBytes) {
		v := w.jobs.yield(j)
		if ok = v != nil; ok {
			victims = append(victims, v)
		}
	}
	if ok {
		w.number++
		j.number = w.number
		w.jobs.push(j)
		w.some.Signal()
	}
	w.mu.Unlock()
	for _, v := range victims {
		v.Refuse(ErrBusy)
	}
	if !ok {
		return ErrBusy
	}
	return nil
}

// Close ends the workers after the jobs they are at and waits for them. What is
// still queued is dropped: its connections are ending too. Call it once.
func (w *Pool) Close() {
	w.mu.Lock()
	w.closed = true
	w.some.Broadcast()
	w.mu.Unlock()
	w.done.Wait()
}

// Tally counts what is refused and accepted outside the loops.
func (w *Pool) Tally() *tally.Shared { return w.tally }
