package fanout

// queue is a first-in, first-out queue of numbers that keeps its memory.
type queue struct {
	items []uint32
	first int
}

func (q *queue) empty() bool { return q.first == len(q.items) }
func (q *queue) len() int    { return len(q.items) - q.first }

func (q *queue) push(n uint32) {
	if q.first > 64 && q.first > len(q.items)/2 {
		q.items = q.items[:copy(q.items, q.items[q.first:])]
		q.first = 0
	}
	q.items = append(q.items, n)
}

func (q *queue) pop() uint32 {
	n := q.items[q.first]
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	}
	return n
}
