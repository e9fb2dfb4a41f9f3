package room

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"peal/loop"
	"peal/server/hub"
	"peal/server/look"
)

// counts is the clients of a room, its hub and its door.
type counts struct {
	look.Directory
	subscribers map[string]int
	told        map[uint64]string // the last frame of each session
	behind      map[uint64]bool
	writes      int
}

type countClient struct {
	loop.Client
	of      *counts
	session uint64
}

func (c countClient) Session() uint64          { return c.session }
func (c countClient) Ref() loop.Ref            { return loop.Ref{Slot: uint32(c.session)} }
func (c countClient) Position() (uint64, bool) { return 0, !c.of.behind[c.session] }
func (c countClient) Write(b []byte)           { c.of.told[c.session] = string(b[2:]) }

func (c *counts) Do(ref loop.Ref, f func(c loop.Client)) {
	c.writes++
	f(countClient{of: c, session: uint64(ref.Slot)})
}

func (c *counts) Channel(name string) (hub.Info, bool) {
	return hub.Info{Name: name, Subscribers: c.subscribers[name]}, true
}

// Whatever comes and goes, all that are there know the number after a while, and nothing is left of
// those that are not.
func TestSubscribersAreToldHowManyTheyAre(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := &counts{subscribers: map[string]int{}, told: map[uint64]string{}, behind: map[uint64]bool{}}
		r := &Room{Door: c, Desk: &look.Desk{Hub: c}}
		now, on := time.Duration(0), map[string]map[uint64]bool{"shop:a": {}, "b": {}}
		set := func(channel string, session uint64, here bool) {
			if here {
				on[channel][session] = true
				c.subscribers[channel] = len(on[channel])
				r.counting.add(countClient{of: c, session: session}, channel, len(on[channel]))
				return
			}
			delete(on[channel], session)
			c.subscribers[channel] = len(on[channel])
			r.counting.remove(session, channel)
		}
		for range 2000 {
			channel := []string{"shop:a", "b"}[random.IntN(2)]
			session := uint64(1 + random.IntN(600))
			switch random.IntN(12) {
			case 0:
				now += time.Second
				fallthrough
			case 1, 2:
				before := c.writes
				if r.Recount(now); c.writes-before > countWrites {
					t.Fatalf("%d writes at once", c.writes-before)
				}
			case 3:
				for name := range on {
					delete(on[name], session)
					c.subscribers[name] = len(on[name])
				}
				r.counting.left(session)
			case 4, 5:
				set(channel, session, false)
			default:
				set(channel, session, true)
			}
		}
		delete(on["b"], 601)
		for range 20 {
			now += countManyPause
			r.Recount(now)
		}
		for channel, name := range map[string]string{"shop:a": "a", "b": "b"} {
			clear(c.told)
			set(channel, 700, true) // changes the number
			c.behind[700] = true
			for range 20 {
				now += countManyPause
				r.Recount(now)
			}
			want := fmt.Sprintf(`{"event":"pusher_internal:subscription_count","channel":"%s","data":"{\"subscription_count\":%d}"}`, name, len(on[channel]))
			for session := range on[channel] {
				if got := c.told[session]; got != want && session != 700 || session == 700 && got != "" {
					t.Fatalf("seed %d: %d was told %s, want %s", seed, session, got, want)
				}
			}
		}
		writes := c.writes
		now += countManyPause
		if r.Recount(now); c.writes != writes {
			t.Error("told though nothing has changed")
		}
		sessions := map[uint64]bool{}
		for name := range on {
			maps.Copy(sessions, on[name])
		}
		if len(r.counting.places) != len(sessions) || len(r.counting.turns) != len(r.counting.channels) {
			t.Errorf("%d sessions are kept of %d", len(r.counting.places), len(sessions))
		}
		for session := range sessions {
			r.counting.left(session)
		}
		if g := &r.counting; len(g.channels)+len(g.places)+len(g.turns) != 0 {
			t.Errorf("left over: %d channels, %d sessions, %d turns", len(g.channels), len(g.places), len(g.turns))
		}
	}
}
