package trace

// Leave says that a connection does not receive those channels any more. covered and unsure are as
// in Joining.
func (r *Record) Leave(slot uint32, channels []string, covered, unsure uint64) {
	l := r.lifeAt(slot)
	if l == nil {
		return
	}
	now, head := r.now(), r.config.Head()
	for _, name := range channels {
		if k := r.open(l, name); k != nil {
			k.reach(covered, unsure)
			k.close(head, now, unsure)
		}
	}
}

// Gap says that messages of a channel behind from, up to to, are not sent to a connection: it receives a
// gap, or does not want to know.
func (r *Record) Gap(slot uint32, channel string, from, to uint64, why Why) {
	l := r.lifeAt(slot)
	if l == nil {
		return
	}
	n := r.texts.numbers[channel]
	var gaps [4]*node // of this subscription
	told := gaps[:0]
	for i := l.first; i != 0; i = r.node(i).next {
		k := r.node(i)
		if k.channel != n {
			continue
		}
		if k.kind == kindJoined {
			if k.open {
				from = max(from, k.upto) // what it was sent before was no gap
			}
			break // what was told before it is not of this subscription
		}
		if k.kind == kindGap && k.why == why {
			told = append(told, k)
		}
	}
	if from >= to {
		return
	}
	for _, k := range told {
		if k.start <= from && from <= k.upto {
			if to > k.upto {
				k.upto, k.at, k.head = to, r.now(), r.config.Head()
			}
			return
		}
	}
	if k := r.newNode(l, channel); k != nil {
		k.kind, k.start, k.upto, k.why, k.at, k.head = kindGap, from, to, why, r.now(), r.config.Head()
	}
}

// Ping says that a ping was sent behind everything up to position.
func (r *Record) Ping(slot uint32, position uint64) {
	if l := r.lifeAt(slot); l != nil {
		if l.pings == 0 {
			l.asked = position
		}
		l.pings = min(l.pings+1, 200)
		l.askedLast = position
	}
}

// Pong says that the client has answered a ping. upto is the position that the pong repeats; named is
// false if the pings of its dialect have none, and then the pong is for the oldest one.
func (r *Record) Pong(slot uint32, upto uint64, named bool) {
	l := r.lifeAt(slot)
	switch {
	case l == nil, l.pings == 0:
	case !named:
		l.confirm(l.asked, r.now(), Pong)
		if l.pings--; l.pings == 1 {
			l.asked = l.askedLast // else where the next one was is not known any more
		}
	case upto <= l.askedLast: // else the client has made it up
		l.confirm(upto, r.now(), Pong)
		if upto == l.askedLast {
			l.pings = 0
		}
	}
}

// Refuse says that channels were refused to a client, with a code: on its connection, or with the
// request by which it wanted to receive. That is a life of its own.
func (r *Record) Refuse(c *Client, channels []string, code string) {
	i := r.add(0, c)
	if i == 0 {
		r.refusedHorizon = max(r.refusedHorizon, r.config.Head())
		return
	}
	l := r.life(i)
	l.flags |= flagRefused | flagEnded
	l.ended, l.endedAt, l.how = l.began, l.beganAt, r.text(code)
	r.push(&r.refused, i)
	for _, name := range channels {
		k := r.newNode(l, name)
		if r.refused.newest != i || k == nil {
			return // there is no room for its nodes, or it was forgotten for their sake
		}
		k.kind, k.code, k.at, k.head = kindRefused, r.text(code), r.now(), r.config.Head()
	}
}

// Ending says why a connection is about to end. The first word counts.
func (r *Record) Ending(slot uint32, how string) {
	if l := r.lifeAt(slot); l != nil && l.how == 0 {
		l.how = r.text(how)
	}
}

// End says that a connection receives nothing more. covered and unsure are as in Joining. Calling
// it again changes nothing.
func (r *Record) End(slot uint32, covered, unsure uint64) {
	if int(slot) >= len(r.slots) || r.slots[slot] == 0 {
		return
	}
	i := r.slots[slot]
	r.slots[slot] = 0
	if i == untraced {
		r.untraced--
		r.horizon = max(r.horizon, r.config.Head())
		return
	}
	l := r.life(i)
	l.ended, l.endedAt = r.config.Head(), r.now()
	l.covered = covered
	l.flags |= flagEnded
	for n := l.first; n != 0; n = r.node(n).next {
		if k := r.node(n); k.open {
			k.reach(covered, unsure)
			at := l.endedAt
			if l.flags&flagPoll != 0 {
				at = max(k.at, k.endAt) // of the last poll
			}
			k.close(l.ended, at, unsure)
			k.atEnd = true
		}
	}
	r.remove(&r.live, i)
	r.push(&r.over, i)
}
