package presence

// queue is an ordered list of members: an intrusive list through one of their two
// pairs of links. A member is in at most one queue of each kind.
type queue struct {
	front, back *member
	accounts    bool // its members are those of an account; else those that are leaving
}

type links struct{ front, back *member } // neighbours towards either end

// at are the links of m in the queue.
func (q *queue) at(m *member) *links {
	if q.accounts {
		return &m.order
	}
	return &m.away().leaving
}

func (q *queue) pushBack(m *member) {
	*q.at(m) = links{front: q.back}
	if q.back != nil {
		q.at(q.back).back = m
	} else {
		q.front = m
	}
	q.back = m
}

func (q *queue) pushFront(m *member) {
	*q.at(m) = links{back: q.front}
	if q.front != nil {
		q.at(q.front).front = m
	} else {
		q.back = m
	}
	q.front = m
}

func (q *queue) remove(m *member) {
	l := *q.at(m)
	if l.front != nil {
		q.at(l.front).back = l.back
	} else {
		q.front = l.back
	}
	if l.back != nil {
		q.at(l.back).front = l.front
	} else {
		q.back = l.front
	}
	*q.at(m) = links{}
}
