package fanout_test

import (
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// newForeignPoll is a fan with a poll of A, whose history keeps so many of the
// messages 1 and 2, with a cursor that means nothing.
func newForeignPoll(t *testing.T, keep int) (*cutScene, *simSocket) {
	c := newCutScene(t, 1000)
	c.hist.keep["A"] = keep
	c.fan = fanout.New(0, fanout.Limits{}, &simEncoder{encodes: map[[2]uint64]int{}}, c.hist, c.out, nopEvents{})
	publishTo(c, "A", 2)
	s := &simSocket{room: 10_000}
	c.out.sockets[fanout.Conn{}] = s
	c.fan.Attach(fanout.Conn{}, 1)
	if _, err := c.fan.Subscribe(0, &fanout.Subscription{Channels: []string{"A"}, Encoding: encPoll, OneShot: true, From: fanout.Foreign}); err != nil {
		t.Fatal(err)
	}
	return c, s
}

// publishTo publishes n messages; the fan has applied them.
func publishTo(c *cutScene, channel string, n int) {
	for range n {
		m := &ring.Message{Sequence: c.hist.head + 1, Channel: channel}
		c.hist.append(m)
		c.fan.Apply([]*ring.Message{m})
	}
}

// What is dropped while the answer to a cursor that means nothing is awaited is
// part of the gap that the answer tells.
func TestForeignPollIsToldUpToWhatIsGone(t *testing.T) {
	c, s := newForeignPoll(t, 2)
	publishTo(c, "A", 3) // 1, 2 and 3 are gone
	for c.fan.Flush(10) {
	}
	if want := "<G A 0 3>"; !strings.HasPrefix(string(s.arrived), want) {
		t.Errorf("the answer begins with %.30q, want %s", s.arrived, want)
	}
}

// A poll whose time is up before its turn receives its gap nevertheless.
func TestForeignPollIsToldWhenItsTimeIsUp(t *testing.T) {
	c, s := newForeignPoll(t, 0)
	if !c.fan.Expire(0) {
		t.Fatal("not a waiting poll")
	}
	for c.fan.Flush(10) {
	}
	if want := "<G A 0 2><A 2>"; string(s.arrived) != want {
		t.Errorf("answered %q, want %q", s.arrived, want)
	}
}
