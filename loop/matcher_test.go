package loop_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// forgetful is the past of matchers without one.
type forgetful struct{}

func (forgetful) Since(dst []*ring.Message, _ func(string) bool, _, upto uint64, _, _, _ int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	return dst, 0, upto, 0
}
func (forgetful) Before(func(string) bool, uint64, int) (m *ring.Message, reached uint64, looked int) {
	return nil, 0, 0
}
func (forgetful) Floor() uint64 { return 0 }

// beginnings are patterns that match what begins with their text. All of them are in one
// bucket of the index, and cost much.
type beginnings struct{}

func (beginnings) Pattern(name string) fanout.Pattern {
	return beginning(strings.TrimPrefix(name, fanout.MatcherPrefix+":"))
}

type beginning string

func (b beginning) Match(channel string) bool { return strings.HasPrefix(channel, string(b)) }
func (beginning) Prefix() string              { return "" }
func (beginning) Suffix() string              { return "" }
func (beginning) Cost() int                   { return fanout.MaxMatchCost / 100 }

func TestMatcherOfAStream(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, patterns: beginnings{}})
	c := s.dial()
	c.sse("$like:or,orders now")
	c.sseAfter(s, "orders")
	c.sseAfter(s, "or")
	s.publish("others", "no")
	c.sseAfter(s, "orders-2")
}

// Matchers that cost too much for a publication go: those of the connections that have the
// most.
func TestMatcherLimitClosesTheHogs(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, patterns: beginnings{}})
	var honest []*client
	for i := range 5 {
		c := s.dialFrom(honestAddress, 0)
		c.sse(fmt.Sprintf("$like:honest%d now", i))
		honest = append(honest, c)
	}
	var hogs []*client
	for i := range 5 {
		var names []string
		for j := range 40 {
			names = append(names, fmt.Sprintf("$like:hog%d-%02d", i, j))
		}
		hog := s.dial()
		hog.ws("wsraw", strings.Join(names, ",")+" now")
		hogs = append(hogs, hog)
	}
	s.await("few enough matchers", func() bool { return s.sum(func(s loop.Stats) int { return s.Fanout.Channels }) <= 100 })
	closed := s.sum(func(s loop.Stats) int { return int(s.ChannelsFull) })
	if closed == 0 || closed > len(hogs) {
		t.Errorf("%d connections are closed, want some of the %d hogs", closed, len(hogs))
	}
	for i, c := range honest {
		c.sseAfter(s, fmt.Sprintf("honest%d-07", i))
	}
	hogs[0].expectClose(1013)
}
