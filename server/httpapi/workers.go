package httpapi

import (
	"sync"
	"sync/atomic"
)

// maxQueuedBytes bounds the copied bodies that wait or are worked on, however
// many jobs may be queued.
const maxQueuedBytes = 16 << 20

// Workers is a small pool of goroutines for requests that could keep a loop
// busy. All Fronts share it. When its queue is full, requests are refused with
// 503 and Retry-After.
type Workers struct {
	// Fixed.
	jobs chan job
	quit chan struct{}
	done sync.WaitGroup

	// Shared.
	bytes atomic.Int64 // of the jobs queued and running
	tally tally        // of what is answered outside the loops
}

type job struct {
	run   func()
	bytes int
}

// NewWorkers starts n goroutines, which end with Close, behind a queue of that
// length. Good numbers are 2 and 256.
func NewWorkers(n, queue int) *Workers {
	w := &Workers{jobs: make(chan job, queue), quit: make(chan struct{}), tally: tally{counts: newCounts()}}
	for range n {
		w.done.Go(w.work)
	}
	return w
}

func (w *Workers) work() {
	for {
		select {
		case j := <-w.jobs:
			j.run()
			w.bytes.Add(-int64(j.bytes))
		case <-w.quit:
			return
		}
	}
}

// try queues a job that holds that many bytes, and reports whether there was
// room. It never blocks.
func (w *Workers) try(bytes int, run func()) bool {
	if w.bytes.Add(int64(bytes)) <= maxQueuedBytes {
		select {
		case w.jobs <- job{run, bytes}:
			return true
		default:
		}
	}
	w.bytes.Add(-int64(bytes))
	return false
}

// Close ends the workers after the jobs they are at and waits for them. What is
// still queued is dropped: its connections are ending too. Call it once.
func (w *Workers) Close() {
	close(w.quit)
	w.done.Wait()
}
