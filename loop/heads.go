package loop

import "peal/loop/evict"

// beginHead and endHead count the requests that have begun to come and are not whole.
func (l *Loop) beginHead(c *conn) {
	if c.flags&flagHead == 0 {
		c.flags |= flagHead
		l.heads++
	}
}

func (l *Loop) endHead(c *conn) {
	if c.flags&flagHead != 0 {
		c.flags &^= flagHead
		l.heads--
	}
}

// mostHeads is what this loop may have of Config.Heads.
func (l *Loop) mostHeads() int { return max(1, l.config.Heads/l.config.Loops) }

// limitHeads closes connections with unfinished requests when there are more than may be: those of
// the shares that have the most.
func (l *Loop) limitHeads() {
	if l.heads <= l.mostHeads() {
		return
	}
	all := make([]evict.Holder, 0, l.heads)
	for i := range l.inputs {
		if k := &l.inputs[i]; len(k.bytes) > 0 && l.conn(k.slot).flags&flagHead != 0 {
			all = append(all, evict.Holder{Slot: k.slot, Bytes: 1, Share: l.shareOf(k.slot)})
		}
	}
	for _, h := range evict.Choose(all, l.mostHeads()) {
		l.counts.headsFull++
		l.warn(&l.complaints.input, "client closed: there were more unfinished requests than max-heads, and the most came from its address", func() []any {
			return []any{"client", l.clientText(h.Slot), "limit", l.config.Heads}
		})
		l.close(h.Slot, l.conn(h.Slot))
	}
}
