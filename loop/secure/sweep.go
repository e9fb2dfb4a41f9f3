package secure

import (
	"time"

	"peal/loop/evict"
)

// partingTime is how long a client may take to read why its handshake has failed.
const partingTime = time.Second

// deadlines are those of one kind, which all have the same time: the first to begin
// is the first to end. There is no timer for each.
type deadlines struct {
	after time.Duration
	queue []deadline
}

type deadline struct {
	c     *conn
	at    time.Duration
	count uint32 // of c then
}

// await begins a deadline of the connection.
func (k *kernel) await(d *deadlines, c *conn) {
	d.queue = append(d.queue, deadline{c, k.below.Now() + d.after, c.count})
	k.sweepLater()
}

// sweepLater has sweep called at the next deadline, if it is not called sooner.
func (k *kernel) sweepLater() {
	next := time.Duration(-1)
	for _, d := range []*deadlines{&k.handshakes, &k.records, &k.partings} {
		if len(d.queue) > 0 && (next < 0 || d.queue[0].at < next) {
			next = d.queue[0].at
		}
	}
	if next >= 0 && (k.sweepAt == 0 || next < k.sweepAt) {
		k.sweepAt = next
		k.below.After(max(next-k.below.Now(), time.Millisecond), func() { k.poke(k.sweep) })
	}
}

// sweep ends what has taken too long.
func (k *kernel) sweep() {
	now := k.below.Now()
	if now < k.sweepAt {
		return // that of a later deadline, which was called for first
	}
	k.sweepAt = 0
	k.handshakes.expire(now, func(d deadline) {
		if d.c.state == stateHello || d.c.state == stateShaking {
			k.fail(d.c, ReasonTimeout)
		}
	})
	k.partings.expire(now, func(d deadline) {
		if d.c.state == stateParting {
			k.part(d.c)
		}
	})
	k.records.expire(now, func(d deadline) {
		c := d.c
		if c.state != stateOpen {
			return
		}
		c.timed = false
		switch {
		case len(c.in) == 0:
		case c.count != d.count || !c.dry: // another record, or the loop above does not read now
			c.timed = true
			k.await(&k.records, c)
		default:
			k.layer.counts.stalled.Add(1)
			k.abort(c, errLate)
		}
	})
	k.sweepLater()
}

func (d *deadlines) expire(now time.Duration, f func(deadline)) {
	n := 0
	for n < len(d.queue) && d.queue[n].at <= now {
		n++
	}
	due := d.queue[:n:n]
	d.queue = d.queue[n:]
	if len(d.queue) == 0 {
		d.queue = nil
	}
	for _, one := range due {
		f(one)
	}
}

// hold counts bytes of input in, or out.
func (k *kernel) hold(bytes int) {
	if bytes != 0 {
		k.input += bytes
		k.layer.counts.input.Add(int64(bytes))
	}
}

// limitInput closes those that hold the most input, when all together hold too much.
func (k *kernel) limitInput() {
	if limit := k.layer.config.InputBytes; k.input > limit {
		k.evict(limit, errHeavy, (*conn).heldInput)
	}
}

// limitKept closes those of which the most output is kept, likewise.
func (k *kernel) limitKept() {
	if limit := k.layer.config.KeptBytes; k.kept > limit {
		k.evict(limit, errSlow, func(c *conn) int { return cap(c.kept) })
	}
}

func (k *kernel) evict(limit int, why error, bytes func(*conn) int) {
	var all []evict.Holder
	for fd, c := range k.conns {
		if c != nil && bytes(c) > 0 {
			all = append(all, evict.Holder{Slot: uint32(fd), Bytes: bytes(c), Share: c.share})
		}
	}
	for _, h := range evict.Choose(all, limit) {
		switch c := k.conns[h.Slot]; c.state {
		case stateOpen:
			k.layer.counts.evicted.Add(1)
			k.abort(c, why)
		case stateHello, stateShaking:
			k.fail(c, ReasonMemory)
		case stateParting:
			k.part(c)
		}
	}
}

// heldInput is how much of the input of the connection is kept.
func (c *conn) heldInput() int {
	n := cap(c.in) + cap(c.plain)
	if c.shake != nil {
		n += c.shake.held
	}
	return n
}
