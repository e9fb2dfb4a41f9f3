package httpapi

import (
	"net/netip"
	"sync"

	"peal/server/share"
)

// maxQueuedBytes bounds the copied bodies that wait or are worked on, however
// many jobs may be queued.
const maxQueuedBytes = 16 << 20

// Workers is a small pool of goroutines for requests that could keep a loop
// busy. All Fronts share it. Their time is divided among addresses and
// connections: see fair. When the queue is full, the last in turn of the address
// that has most in it is refused with 503 and Retry-After.
type Workers struct {
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

	tally tally // of what is answered outside the loops
}

// job is what one request has a worker do.
type job struct {
	// Fixed by who asks.
	share   share.Key
	session uint64
	bytes   int    // of a body that it holds
	cost    int    // about how many microseconds it takes
	run     func() // answers
	refuse  func() // answers that there was no room; on any goroutine

	// Of the queue.
	number uint64
	end    uint64
}

// What jobs cost, beside what they are about.
const (
	jobCost      = 50
	jobCostBytes = 64 // bytes of a body to a microsecond
	channelsCost = 1000
	historyCost  = 100
	presenceCost = 100
)

// newJob is the job of a client, at least.
func newJob(peer netip.AddrPort, session uint64) *job {
	return &job{share: share.Of(peer.Addr(), session), session: session}
}

// NewWorkers starts n goroutines, which end with Close, behind a queue of that
// length. Good numbers are 2 and 256.
func NewWorkers(n, queue int) *Workers {
	w := &Workers{queue: queue, jobs: newFair(), tally: tally{counts: newCounts()}}
	w.some.L = &w.mu
	for range n {
		w.done.Go(w.work)
	}
	return w
}

func (w *Workers) work() {
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
		w.running += j.bytes
		w.mu.Unlock()
		if j.bytes == 0 && w.crowded() {
			j.refuse()
		} else {
			j.run()
		}
		w.mu.Lock()
		w.running -= j.bytes
	}
}

// maxWaitingBytes bounds the answers that are ready and that no loop has taken
// yet: workers must not fill the memory while a loop is busy. Beyond it queries are
// refused; batches, whose answers are small, are not.
const maxWaitingBytes = 16 << 20

// Count has the workers count their answers until a loop has taken them: waiting is
// their bytes at the moment. Any goroutine calls it. Before the first request.
func (w *Workers) Count(waiting func() int) { w.waiting = waiting }

func (w *Workers) crowded() bool { return w.waiting != nil && w.waiting() > maxWaitingBytes }

// try queues a job, and reports whether there was room for it: another may have
// to make way, and is refused. It never waits for a job.
func (w *Workers) try(j *job) bool {
	j.cost += jobCost + j.bytes/jobCostBytes
	var victims []*job
	w.mu.Lock()
	ok := !w.closed && j.bytes+w.running <= maxQueuedBytes && w.queue > 0
	for ok && (w.jobs.jobs >= w.queue || w.jobs.bytes+w.running+j.bytes > maxQueuedBytes) {
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
		v.refuse()
	}
	return ok
}

// Close ends the workers after the jobs they are at and waits for them. What is
// still queued is dropped: its connections are ending too. Call it once.
func (w *Workers) Close() {
	w.mu.Lock()
	w.closed = true
	w.some.Broadcast()
	w.mu.Unlock()
	w.done.Wait()
}
