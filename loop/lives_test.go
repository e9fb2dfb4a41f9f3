package loop_test

import (
	"fmt"
	"testing"
	"time"

	"peal/loop"
)

// What loops remember of lives goes on in another process: the ages of connections, also where it has another
// number of loops, and the newest ends and gaps.
func TestLivesAreHandedOver(t *testing.T) {
	plaintextOnly(t)
	for _, loops := range []int{2, 1, 3} {
		s := start(t, options{keep: 1})
		for i := range 20 {
			s.dial().sse(fmt.Sprintf("a,b%d now", i))
		}
		gone := s.dial()
		gone.sse("gone now")
		gone.Close()
		s.ends(1)
		for range 3 {
			s.publish("kept", "x")
		}
		late := s.dial()
		late.send("sse kept 1\n")
		late.expect("stream", "open 1", "gap kept 1 2")
		s.freeze()
		state := s.export()
		const earlier = time.Hour
		for i := range state.Loops {
			life := &state.Loops[i].Life
			for number, all := range life.Births {
				for k := range all {
					life.Births[number][k].Ago += earlier
				}
			}
			for k := range life.Ends {
				life.Ends[k].Ago += earlier
			}
			for k := range life.Gaps {
				life.Gaps[k].Ago += earlier
			}
		}
		n := s.next(options{config: loop.Config{Loops: loops}})
		if _, err := n.takeOver(state); err != nil {
			t.Fatal(err)
		}
		s.group.Abandon(patient(t))
		n.run()
		n.dial().sse("new now")
		fits := func(what string, ago, least time.Duration) {
			if ago < least || ago > least+patience {
				t.Errorf("%d loops: %s: %v ago, want %v", loops, what, ago, least)
			}
		}
		all, gaps := n.all(loop.Walk{Limit: 100, Names: 10}), 0
		if len(all) != 22 {
			t.Errorf("%d loops: %d connections", loops, len(all))
		}
		for _, c := range all {
			least := earlier
			if c.Channels[0] == "new" {
				least = 0
			}
			fits(fmt.Sprint(c.Channels), c.Age, least)
			if c.Gap != nil {
				gaps++
				fits("the gap", c.Gap.Ago, earlier)
				if c.Channels[0] != "kept" || c.Gap.To != 2 || c.Gap.Reason != "history" {
					t.Errorf("%v: %+v", c.Channels, c.Gap)
				}
			}
		}
		if gaps != 1 {
			t.Errorf("%d loops: %d gaps", loops, gaps)
		}
		ends := n.ends(1)
		if e := ends[0]; len(ends) != 1 || e.Transport != loop.OverSSE || !e.Peer.IsValid() || e.Reason == "" || e.Session == 0 || e.Dialect != eventStream {
			t.Errorf("%d loops: %+v", loops, ends)
		}
		fits("the end", ends[0].Ago, earlier)

		// And once more, by way of a process with other loops.
		n.freeze()
		last := n.next(options{config: loop.Config{Loops: 2}})
		if _, err := last.takeOver(n.export()); err != nil {
			t.Fatal(err)
		}
		n.group.Abandon(patient(t))
		last.run()
		for _, c := range last.all(loop.Walk{Limit: 100, Names: 10}) {
			if c.Channels[0] != "new" {
				fits(fmt.Sprint(c.Channels, " once more"), c.Age, earlier)
			} else if c.Age < 0 {
				t.Error("the age of a connection of the process between is not known")
			}
		}
	}
}
