package presence

import "strings"

// member returns the member of that name, nil if there is none or no channel.
func (u *union) member(client string) *member {
	if u == nil {
		return nil
	}
	return u.members.get(client)
}

// placeOf returns the place of a client on p, nil for none.
func (u *union) placeOf(client string, p *peer) *place {
	if m := u.member(client); m != nil {
		return m.placeOn(p)
	}
	return nil
}

func (m *member) placeOn(p *peer) *place {
	for q := m.rare.places; q != nil; q = q.next {
		if q.peer == p {
			return q
		}
	}
	return nil
}

// show makes the newest info of all places that of the member, and reports whether that is
// another one than before. It depends on nothing but the places, so a node that has read them
// as a state shows the same.
func (m *member) show() (another bool) {
	info, since := "", uint64(0)
	for q := m.rare.places; q != nil; q = q.next {
		if q.info != "" && q.since >= since {
			info, since = q.info, q.since
		}
	}
	if another = info != m.person.info(); another {
		m.person = newPerson(m.person.client(), info)
	}
	return another
}

func (p *peer) link(q *place) {
	q.before, q.after = p.last, nil
	if p.last != nil {
		p.last.after = q
	} else {
		p.first = q
	}
	p.last = q
	p.count++
}

func (p *peer) unlink(q *place) {
	if q.before != nil {
		q.before.after = q.after
	} else {
		p.first = q.after
	}
	if q.after != nil {
		q.after.before = q.before
	} else {
		p.last = q.before
	}
	q.before, q.after = nil, nil
	p.count--
}

// chargeLocked adds to what the members take here; foreign ones also to what the Table must leave free.
func (c *Cluster) chargeLocked(m *member, sign int) {
	bytes := sign * (unionMemberBytes + textBytes(m.person.client()))
	c.members += sign
	c.bytes += bytes
}

// foreignLocked notes that m is, or is no longer, on other nodes only.
func (c *Cluster) foreignLocked(m *member, sign int) {
	c.foreignMembers.Add(int64(sign))
	c.foreignBytes.Add(int64(sign * (unionMemberBytes + textBytes(m.person.client()))))
}

// putLocked has the client be on p, with that info. fresh: it was on no node before. shown: the
// member has another info now. It returns nil if there is no room at all.
func (c *Cluster) putLocked(p *peer, channel, client, info string, since uint64) (q *place, fresh, shown bool) {
	u := c.channels[channel]
	m := u.member(client)
	if m != nil {
		q = m.placeOn(p)
	}
	if q == nil {
		if c.members >= slack*c.config.Members || c.bytes >= slack*c.config.Bytes {
			c.refused.Add(1)
			return nil, false, false
		}
		if u == nil {
			u = &union{name: strings.Clone(channel)}
			c.channels[u.name] = u
			c.bytes += unionBytes + textBytes(channel)
		}
		if m == nil {
			m = &member{person: newPerson(client, ""), rare: &rare{}}
			u.members.insert(m)
			c.chargeLocked(m, 1)
			c.foreignLocked(m, 1)
			fresh = true
			if c.onChange != nil {
				c.onChange(u.name)
			}
		}
		q = &place{peer: p, union: u, member: m, next: m.rare.places, since: since, generation: p.generation}
		m.rare.places = q
		p.link(q)
		if p.id == c.self {
			u.own++
			c.foreignLocked(m, -1)
		}
	}
	if q.generation != p.generation { // it is named anew, so it is not stale
		p.unlink(q)
		q.generation = p.generation
		p.link(q)
	}
	if q.info != info {
		c.bytes += textBytes(info) - textBytes(q.info)
		q.info, q.since = info, since
	}
	return q, fresh, m.show()
}

// removeLocked removes the place. gone: the member was on no other node. shown: it has another
// info now.
func (c *Cluster) removeLocked(q *place) (gone, shown bool) {
	m, u, p := q.member, q.union, q.peer
	for at := &m.rare.places; *at != nil; at = &(*at).next {
		if *at == q {
			*at = q.next
			break
		}
	}
	p.unlink(q)
	c.bytes -= textBytes(q.info)
	if p.id == c.self {
		u.own--
		c.foreignLocked(m, 1)
	}
	if m.rare.places != nil {
		return false, m.show()
	}
	u.members.remove(m.person.client())
	if c.onChange != nil {
		c.onChange(u.name)
	}
	c.chargeLocked(m, -1)
	c.foreignLocked(m, -1)
	if u.members.count == 0 {
		delete(c.channels, u.name)
		c.bytes -= unionBytes + textBytes(u.name)
	}
	return true, false
}
