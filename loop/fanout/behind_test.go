package fanout_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// A member that waits for a turn of its own, to empty its lane, is passed over
// when its view is visited. What came meanwhile must still be there when its turn
// comes, for no history may have it.
func TestWhatComesWhileAMemberWaitsForItsTurnIsKept(t *testing.T) {
	const others, members = 20, 10
	for name, channels := range map[string]func(i int) []string{
		"one channel":          func(int) []string { return []string{"A"} },
		"views of few members": func(i int) []string { return []string{"A", fmt.Sprint("own ", i)} },
	} {
		t.Run(name, func(t *testing.T) {
			source := &simHistory{keep: map[string]int{}, kept: map[string][]*ring.Message{}, discarded: map[string]uint64{}, joined: map[string]int{}}
			out := &simSender{fail: t.Fatalf, sockets: map[fanout.Conn]*simSocket{}}
			fan := fanout.New(0, fanout.Limits{}, &simEncoder{map[[2]uint64]int{}}, source, out, nopEvents{})
			fan.VisitUpTo(1)
			for i := range others + members {
				slot, socket := uint32(i), &simSocket{}
				out.sockets[fanout.Conn{Slot: slot}] = socket
				fan.Attach(fanout.Conn{Slot: slot}, uint64(i)+1)
				set := []string{"others"}
				if i >= others {
					set = channels(i)
				}
				if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: set}); err != nil {
					t.Fatal(err)
				}
				if _, err := fan.Write(slot, []byte("private")); err != nil {
					t.Fatal(err)
				}
				socket.room, socket.full = 1<<20, false
				fan.Writable(slot)
			}
			m := &ring.Message{Sequence: 1, Channel: "A"}
			source.append(m)
			fan.Apply([]*ring.Message{m})
			for fan.Flush(members + 1) {
			}
			for i := range members {
				got := string(out.sockets[fanout.Conn{Slot: uint32(others + i)}].arrived)
				if want := "private" + text(m); got != want {
					t.Fatalf("member %d got %q, want %q", i, strings.TrimSpace(got), want)
				}
			}
		})
	}
}
