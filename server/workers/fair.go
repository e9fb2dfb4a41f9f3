package workers

import (
	"container/heap"
	"math"

	"peal/server/share"
)

// fair is a queue of jobs that divides the workers' time: first among the shares
// of addresses (package share), then among the connections of a share, by what
// their jobs cost and not by how many there are. It is weighted fair queueing with
// equal weights: a clock counts what each would have had if all were served at
// once, and the job that would end first then is served first. A connection that
// asked for little so far is served before those that asked for much.
//
// It is not safe for use by several goroutines.
type fair struct {
	active shareHeap // those with jobs; the next to be served first
	known  map[share.Key]*turns
	now    uint64 // the clock of the shares
	turn   uint64 // of the share that had one last, or came last
	jobs   int
	bytes  int // of the jobs in it
}

// turns are the jobs of one share.
type turns struct {
	key   share.Key
	place int               // in fair.active
	turn  uint64            // among shares that would end at the same time
	start uint64            // of its next job, on the clock of the shares
	jobs  jobHeap           // the next to be served first
	now   uint64            // the share's own clock
	ends  map[uint64]uint64 // by session: when all that it asked for would end, on that clock
	bytes int
}

// What is remembered at most of shares and connections whose jobs are done, while
// others wait: they are forgotten where they have nothing to make up for, and then altogether.
const (
	maxShares   = 4096
	maxSessions = 1024
)

func newFair() fair { return fair{known: map[share.Key]*turns{}} }

// push adds a job.
func (q *fair) push(j *Job) {
	t := q.known[j.Share]
	if t == nil {
		q.forget()
		t = &turns{key: j.Share, ends: map[uint64]uint64{}}
		q.known[j.Share] = t
	}
	t.forget()
	j.end = max(t.now, t.ends[j.Session]) + uint64(j.Cost)
	t.ends[j.Session] = j.end
	heap.Push(&t.jobs, j)
	t.bytes += j.Bytes
	q.jobs++
	q.bytes += j.Bytes
	if len(t.jobs) == 1 {
		t.start = max(t.start, q.now)
		q.turn++
		t.turn = q.turn
		heap.Push(&q.active, t)
	} else {
		heap.Fix(&q.active, t.place)
	}
}

// pop takes the job whose turn it is; there is one.
func (q *fair) pop() *Job {
	t := q.active[0]
	j := t.jobs[0]
	q.now += 1 + uint64(j.Cost/len(q.active))
	t.now += 1 + uint64(j.Cost/len(t.jobs))
	t.start += uint64(j.Cost)
	q.turn++
	t.turn = q.turn
	q.take(t, 0)
	return j
}

// take takes the job at place i of t.
func (q *fair) take(t *turns, i int) *Job {
	j := heap.Remove(&t.jobs, i).(*Job)
	t.bytes -= j.Bytes
	q.jobs--
	q.bytes -= j.Bytes
	switch {
	case q.jobs == 0: // nothing waits, so no share is behind another
		q.active, q.now = q.active[:0], 0
		clear(q.known)
	case len(t.jobs) == 0:
		t.now = 0
		clear(t.ends)
		q.active.remove(t)
	default:
		heap.Fix(&q.active, t.place)
	}
	return j
}

// victimLooks bounds the search for a victim, which a loop does.
const victimLooks = 512

// yield takes out the job that has to make way for j when the queue is full, nil
// for j itself: the last in turn of the share that has most in the queue, if j is
// of a share that has less, or comes before it in their own.
func (q *fair) yield(j *Job) (victim *Job) {
	if q.jobs == 0 {
		return nil
	}
	largest := q.active[0]
	for _, t := range q.active[:min(len(q.active), victimLooks)] {
		if t.weight() > largest.weight() {
			largest = t
		}
	}
	last := len(largest.jobs) - 1
	for i := last; i >= max(0, len(largest.jobs)-victimLooks); i-- {
		if largest.jobs.Less(last, i) {
			last = i
		}
	}
	if own := q.known[j.Share]; own != nil && (own == largest && max(own.now, own.ends[j.Session])+uint64(j.Cost) >= largest.jobs[last].end ||
		own != largest && own.weight()+j.weight() >= largest.weight()) {
		return nil
	}
	victim = largest.jobs[last]
	largest.ends[victim.Session] = victim.end - uint64(victim.Cost)
	return q.take(largest, last)
}

// jobBytes is what a job without a body weighs where shares are compared.
const jobBytes = maxQueuedBytes / 256

// end is when the next job of the share would end.
func (t *turns) end() uint64 { return t.start + uint64(t.jobs[0].Cost) }

func (t *turns) weight() int { return t.bytes + len(t.jobs)*jobBytes }
func (j *Job) weight() int   { return j.Bytes + jobBytes }

// forget makes room for one more share.
func (q *fair) forget() {
	for _, least := range []uint64{q.now, math.MaxUint64} {
		if len(q.known) < maxShares {
			return
		}
		for key, t := range q.known {
			if len(t.jobs) == 0 && t.start <= least {
				delete(q.known, key)
			}
		}
	}
}

// forget makes room for one more connection.
func (t *turns) forget() {
	for _, least := range []uint64{t.now, math.MaxUint64} {
		if len(t.ends) < maxSessions {
			return
		}
		for session, end := range t.ends {
			if end <= least {
				delete(t.ends, session)
			}
		}
	}
}

type jobHeap []*Job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	return h[i].end < h[j].end || h[i].end == h[j].end && h[i].number < h[j].number
}
func (h jobHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *jobHeap) Push(x any)   { *h = append(*h, x.(*Job)) }
func (h *jobHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

type shareHeap []*turns

func (h shareHeap) Len() int { return len(h) }
func (h shareHeap) Less(i, j int) bool {
	a, b := h[i].end(), h[j].end()
	return a < b || a == b && h[i].turn < h[j].turn
}
func (h shareHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *shareHeap) Push(x any) {
	t := x.(*turns)
	t.place = len(*h)
	*h = append(*h, t)
}
func (h *shareHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

// remove takes out t, which has no job any more.
func (h *shareHeap) remove(t *turns) {
	last := len(*h) - 1
	i := t.place
	if i != last {
		h.Swap(i, last)
	}
	h.Pop()
	if i < last {
		heap.Fix(h, i)
	}
}
