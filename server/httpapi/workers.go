package httpapi

import "sync"

// Workers is a small pool of goroutines for requests that could keep a loop
// busy. All Fronts share it. When its queue is full, requests are refused with
// 503 and Retry-After.
type Workers struct {
	jobs chan func()
	quit chan struct{}
	done sync.WaitGroup
}

// NewWorkers starts n goroutines, which end with Close, behind a queue of that
// length. Good numbers are 2 and 256.
func NewWorkers(n, queue int) *Workers {
	w := &Workers{jobs: make(chan func(), queue), quit: make(chan struct{})}
	for range n {
		w.done.Go(w.work)
	}
	return w
}

func (w *Workers) work() {
	for {
		select {
		case job := <-w.jobs:
			job()
		case <-w.quit:
			return
		}
	}
}

// try queues job unless the queue is full. It never blocks.
func (w *Workers) try(job func()) bool {
	select {
	case w.jobs <- job:
		return true
	default:
		return false
	}
}

// Close ends the workers after the jobs they are at and waits for them. What is
// still queued is dropped: its connections are ending too. Call it once.
func (w *Workers) Close() {
	close(w.quit)
	w.done.Wait()
}
