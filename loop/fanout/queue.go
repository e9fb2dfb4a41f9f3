package fanout

// queue is a first-in, first-out queue that keeps its memory.
type queue[T any] struct {
	items  []T
	first  int
	pushed uint64 // since the start
}

func (q *queue[T]) empty() bool { return q.first == len(q.items) }
func (q *queue[T]) len() int    { return len(q.items) - q.first }

// popped is how many items have left since the start.
func (q *queue[T]) popped() uint64 { return q.pushed - uint64(q.len()) }

func (q *queue[T]) push(n T) {
	if q.first > 64 && q.first > len(q.items)/2 {
		end := copy(q.items, q.items[q.first:])
		clear(q.items[end:])
		q.items = q.items[:end]
		q.first = 0
	}
	q.items = append(q.items, n)
	q.pushed++
}

func (q *queue[T]) pop() T {
	var none T
	n := q.items[q.first]
	q.items[q.first] = none
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	}
	return n
}
