package presence

// queue is an ordered list of members: an intrusive list through one of their two
// pairs of links. A member is in at most one queue of each kind.
type queue struct {
	front, back *member
	links       uint8 // byLeaving or byAccount
}

// Uses of the links of members.
const (
	byLeaving = iota // shard.leaving
	byAccount        // account.order
	queues
)

type links struct{ front, back *member } // neighbours towards either end

func (q *queue) pushBack(m *member) {
	m.links[q.links] = links{front: q.back}
	if q.back != nil {
		q.back.links[q.links].back = m
	} else {
		q.front = m
	}
	q.back = m
}

func (q *queue) pushFront(m *member) {
	m.links[q.links] = links{back: q.front}
	if q.front != nil {
		q.front.links[q.links].front = m
	} else {
		q.back = m
	}
	q.front = m
}

func (q *queue) remove(m *member) {
	l := m.links[q.links]
	if l.front != nil {
		l.front.links[q.links].back = l.back
	} else {
		q.front = l.back
	}
	if l.back != nil {
		l.back.links[q.links].front = l.front
	} else {
		q.back = l.front
	}
	m.links[q.links] = links{}
}
