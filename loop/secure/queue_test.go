package secure_test

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"peal/loop/secure"
)

// stall makes clients that never end their handshake.
func (r *room) stall(n int, peer string) (all []*client) {
	for range n {
		c := r.dialFrom(peer, only(tls.VersionTLS13))
		c.give(1 << 20)
		r.m.settle()
		all = append(all, c)
	}
	return all
}

// An address that never ends its handshakes leaves goroutines to the others.
func TestGoroutinesAreDividedAmongAddresses(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.Handshakes = 16 })
	r.stall(100, "198.51.100.1:1")
	if s := r.layer.Stats(); s.Running != 8 || s.Waiting != 92 {
		t.Errorf("one address: %d run, %d wait; want 8 and 92", s.Running, s.Waiting)
	}
	r.stall(100, "[2001:db8::1]:1")
	r.stall(100, "[2001:db8::2]:1") // the same /64
	if s := r.layer.Stats(); s.Running != 12 {
		t.Errorf("two addresses: %d run, want 12", s.Running)
	}
	for i := range 20 {
		r.dialFrom(fmt.Sprintf("192.0.2.%d:1", i), nil).shook()
	}
	// Their time is over, and those that wait get their turns; theirs is over, too.
	r.m.elapse(11 * time.Second)
	if s := r.layer.Stats(); s.Running != 0 || s.Waiting != 0 || s.Failed[secure.ReasonTimeout] != 300 {
		t.Errorf("after their time: %+v", s)
	}
}

// When there is room, the addresses of those that wait are served in turns.
func TestThoseThatWaitHaveTurns(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.Handshakes = 1 })
	first := r.stall(1, "198.51.100.1:1")[0]
	var many, few []*client
	for range 6 {
		many = append(many, r.stall(1, "198.51.100.1:1")...)
	}
	few = append(r.stall(1, "192.0.2.1:1"), r.stall(1, "192.0.2.2:1")...)
	first.shook() // which lets the next begin, and so on
	served := 0
	for range 3 {
		for _, c := range many {
			if !c.done && len(c.s.out) > 0 {
				served++
				c.shook()
			}
		}
		for _, c := range few {
			if !c.done && len(c.s.out) > 0 {
				c.shook()
			}
		}
	}
	for i, c := range few {
		if !c.done {
			t.Errorf("one of two is not served while %d of another address are: %d", served, i)
		}
	}
	for _, c := range many {
		c.shook()
	}
}

// When all places to wait are taken, the address with the most loses one.
func TestTheQueueIsLimited(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.Handshakes, c.Waiting = 2, 10 })
	hogs := r.stall(50, "198.51.100.1:1")
	if s := r.layer.Stats(); s.Waiting != 10 || s.Failed[secure.ReasonRefused] != 39 {
		t.Errorf("%+v", s)
	}
	others := append(r.stall(3, "192.0.2.1:1"), r.stall(3, "192.0.2.2:1")...)
	if s := r.layer.Stats(); s.Waiting != 10 {
		t.Errorf("%+v", s)
	}
	for range 10 { // what is refused gets an alert, the others go on in turns
		for _, c := range append(hogs, others...) {
			if !c.s.closed && !c.s.shut {
				c.flow()
			}
		}
	}
	for i, c := range others {
		if !c.done || c.err != nil {
			t.Errorf("client %d of another address: done %v, %v", i, c.done, c.err)
		}
	}
	refused := 0
	for _, c := range hogs {
		c.take(1 << 20)
		if c.err != nil {
			refused++
		}
	}
	if refused < 39 {
		t.Errorf("%d were refused with an alert", refused)
	}
}

// Clients that leave while they wait give their places back.
func TestLeavingTheQueue(t *testing.T) {
	r := newRoom(t, 1, func(c *secure.Config) { c.Handshakes, c.Waiting = 1, 100 })
	all := r.stall(50, "198.51.100.1:1")
	for i := len(all) - 1; i >= 0; i -= 2 {
		all[i].s.breakOff()
		r.m.settle()
	}
	if s := r.layer.Stats(); s.Waiting+s.Running != 25 || s.Failed[secure.ReasonGone] != 25 {
		t.Errorf("%+v", s)
	}
	for i := range all {
		if i%2 == 0 {
			all[i].shook()
		}
	}
	if s := r.layer.Stats(); s.Full != 25 || s.Deferred != 49 {
		t.Errorf("%+v", s)
	}
}
