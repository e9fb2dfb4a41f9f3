package workers

import "peal/server/share"

// Queue is the queue of the workers, by itself.
type Queue struct {
	fair
	limit  int
	number uint64
}

func NewQueue(limit int) *Queue { return &Queue{fair: newFair(), limit: limit} }

// Push adds a job, unless there is no room for it; then, or where another has to
// make way, it returns the session of the one that is refused.
func (q *Queue) Push(key share.Key, session uint64, cost int) (refused uint64) {
	q.number++
	j := &Job{Share: key, Session: session, Cost: cost, number: q.number}
	if q.jobs >= q.limit {
		v := q.yield(j)
		if v == nil {
			return session
		}
		refused = v.Session
	}
	q.push(j)
	return refused
}

// Pop takes the job whose turn it is and returns whose it was.
func (q *Queue) Pop() (session uint64) { return q.pop().Session }

func (q *Queue) Len() int { return q.jobs }

// Known is how many shares and connections are remembered.
func (q *Queue) Known() (shares, sessions int) {
	for _, t := range q.known {
		sessions += len(t.ends)
	}
	return len(q.known), sessions
}
