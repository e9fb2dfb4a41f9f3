package fanout_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// cutScene is three subscribers, of {A}, {B} and {A,B}, and a log that is
// published in one turn, all of it retained.
type cutScene struct {
	t    *testing.T
	hist *simHistory
	out  *simSender
	fan  *fanout.Fan
	next uint32
}

var cutSets = [][]string{{"A"}, {"B"}, {"A", "B"}}

func newCutScene(t *testing.T, stripBytes int) *cutScene {
	c := &cutScene{t: t}
	c.hist = &simHistory{keep: map[string]int{"A": 1000, "B": 1000}, kept: map[string][]*ring.Message{}, discarded: map[string]uint64{}, joined: map[string]int{}}
	fail := func(format string, args ...any) { t.Helper(); t.Errorf(format, args...) }
	c.out = &simSender{fail: fail, sockets: map[fanout.Conn]*simSocket{}, rnd: rand.New(rand.NewPCG(1, 1))}
	c.fan = fanout.New(0, fanout.Limits{StripBytes: stripBytes}, &simEncoder{encodes: map[[2]uint64]int{}}, c.hist, c.out, cutEvents{t})
	return c
}

// cutEvents: nothing happens that the loop must act upon.
type cutEvents struct{ t *testing.T }

func (e cutEvents) Lost(slot uint32, err error)          { e.t.Errorf("lost: %v", err) }
func (e cutEvents) Idle(slot uint32)                     {}
func (e cutEvents) Answered(slot uint32, session uint64) { e.t.Error("answered") }
func (e cutEvents) Gapped(slot uint32)                   { e.t.Error("gapped") }
func (e cutEvents) Fell(slot uint32)                     { e.t.Error("fell") }
func (e cutEvents) Slow(slot uint32)                     { e.t.Error("slow") }

// connect subscribes a new connection whose socket takes room bytes.
func (c *cutScene) connect(channels []string, after uint64, room int) (uint32, *simSocket) {
	slot := c.next
	c.next++
	s := &simSocket{room: room}
	c.out.sockets[fanout.Conn{Slot: slot}] = s
	c.fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
	if _, err := c.fan.Subscribe(slot, &fanout.Subscription{Channels: channels, From: fanout.After, Sequence: after}); err != nil {
		c.t.Fatal(err)
	}
	return slot, s
}

func (c *cutScene) publish(log []*ring.Message) {
	for _, m := range log {
		c.hist.append(m)
	}
	c.fan.Apply(log)
	c.flush()
}

func (c *cutScene) flush() {
	for range 100 {
		if !c.fan.Flush(100) {
			return
		}
	}
	c.t.Fatal("never done")
}

// cutLog is twenty messages on A, B, and some on both. They are made anew for
// each scene, because they carry their encodings.
func cutLog() (log []*ring.Message) {
	for i := range 20 {
		m := &ring.Message{Sequence: uint64(i + 1), Channel: []string{"A", "B", "B", "A", "A"}[i%5]}
		if i%7 == 3 {
			m.Also = []string{map[string]string{"A": "B", "B": "A"}[m.Channel]}
		}
		m.Size = len(text(m))
		log = append(log, m)
	}
	return log
}

// cutStream is what a subscriber of channels receives after a position, and
// where each message ends in it.
func cutStream(log []*ring.Message, channels []string, after uint64) (stream []byte, ends []int, sequences []uint64) {
	c := &simClient{session: 1 << 60, channels: map[string]bool{}}
	for _, ch := range channels {
		c.channels[ch] = true
	}
	for _, m := range log {
		if c.wants(m) && m.Sequence > after {
			stream = append(stream, text(m)...)
			ends = append(ends, len(stream))
			sequences = append(sequences, m.Sequence)
		}
	}
	return stream, ends, sequences
}

// A connection is cut after every byte. What arrived is whole messages and at
// most one part of the next, and who resumes from the last whole one gets
// exactly the rest; who is not cut but stalled there gets it too.
func TestCutAfterEveryByte(t *testing.T) {
	for _, stripBytes := range []int{0, 64, 200} {
		t.Run(fmt.Sprintf("strip=%d", stripBytes), func(t *testing.T) {
			log := cutLog()
			longest, _, _ := cutStream(log, cutSets[2], 0)
			for cut := 0; cut <= len(longest) && !t.Failed(); cut++ {
				checkCut(t, cut, stripBytes)
			}
		})
	}
}

func checkCut(t *testing.T, cut, stripBytes int) {
	log := cutLog()
	c := newCutScene(t, stripBytes)
	slots, sockets := make([]uint32, 3), make([]*simSocket, 3)
	for i, set := range cutSets {
		slots[i], sockets[i] = c.connect(set, 0, cut)
	}
	_, calm := c.connect(cutSets[2], 0, 1<<20)
	c.publish(log)

	for i, set := range cutSets {
		whole, ends, sequences := cutStream(log, set, 0)
		arrived := sockets[i].arrived
		if want := whole[:min(cut, len(whole))]; !bytes.Equal(arrived, want) {
			t.Fatalf("cut %d, %v: arrived %q, want %q", cut, set, arrived, want)
		}
		last := uint64(0) // of the whole messages
		for j, end := range ends {
			if end <= len(arrived) {
				last = sequences[j]
			}
		}
		// A new connection resumes from there.
		rest, _, _ := cutStream(log, set, last)
		_, resumed := c.connect(set, last, 1<<20)
		c.flush()
		if !bytes.Equal(resumed.arrived, rest) {
			t.Errorf("cut %d, %v: resumed after %d: %q, want %q", cut, set, last, resumed.arrived, rest)
		}
		// The old one was only stalled: byte by byte it gets the same.
		for range len(whole) {
			if sockets[i].full {
				sockets[i].full = false
				sockets[i].room = 1
				c.fan.Writable(slots[i])
				c.flush()
			}
		}
		if !bytes.Equal(sockets[i].arrived, whole) {
			t.Errorf("cut %d, %v: stalled and went on: %q, want %q", cut, set, sockets[i].arrived, whole)
		}
		c.fan.Detach(slots[i])
	}
	if whole, _, _ := cutStream(log, cutSets[2], 0); !bytes.Equal(calm.arrived, whole) {
		t.Errorf("cut %d: who was never cut has %q", cut, calm.arrived)
	}
}
