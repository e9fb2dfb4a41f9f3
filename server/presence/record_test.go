package presence_test

import (
	"fmt"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/presence"
	"peal/server/publication"
)

func entryOf(sequence uint64, channel, data string) *log.Entry {
	return &log.Entry{Kind: log.KindPresence, Sequence: sequence, Channel: channel, Data: []byte(data)}
}

const (
	nodeA = "\x0a\x00\x00\x00\x00\x00\x00\x00"
	nodeB = "\x0b\x00\x00\x00\x00\x00\x00\x00"
)

// TestEventsAreOfTheNetChange: what the bytes of entries mean, and that only what changes for the
// cluster is an event.
func TestEventsAreOfTheNetChange(t *testing.T) {
	c := presence.NewCluster(presence.Config{}, 10, func(string) bool { return true }, func() []uint64 { return []uint64{10, 11} })
	for i, step := range []struct{ channel, data, want string }{
		{"tea", "\x01\x01" + nodeA + "\x01\x03ann\x01x", `{"count":1,"join":[{"client":"ann","info":"x"}],"leave":[]}`},
		{"tea", "\x01\x01" + nodeA + "\x01\x03ann\x01x", ""},                                                               // once more
		{"tea", "\x01\x01" + nodeB + "\x01\x03ann\x00\x01\x03bob\x00", `{"count":2,"join":[{"client":"bob"}],"leave":[]}`}, // no info keeps that of the other node
		{"tea", "\x01\x01" + nodeB + "\x01\x03ann\x01y", `{"count":2,"join":[{"client":"ann","info":"y"}],"leave":[]}`},
		{"tea", "\x01\x01" + nodeB + "\x02\x03ann\x02\x03bob", `{"count":1,"join":[{"client":"ann","info":"x"}],"leave":[{"client":"bob"}]}`},
		{"", "\x01\x02" + nodeB + "\x01", ""},                            // a state begins
		{"", "\x01\x02" + nodeB + "\x00\x03tea\x01\x03cid\x01z\x05", ""}, // it makes no event
		{"tea", "\x01\x03" + nodeA, `{"count":2,"joined":0,"left":0}`},   // but is owed one
		{"", "\x01\x02" + nodeB + "\x02", ""},                            // and ends
		{"tea", "\x01\x01" + nodeA + "\x02\x03ann", `{"count":1,"join":[],"leave":[{"client":"ann"}]}`},
		{"tea", "\x01\x01" + nodeB + "\x02\x03cid", `{"count":0,"join":[],"leave":[{"client":"cid"}]}`},
		{"tea", "\x01\x63" + nodeB + "what?", ""}, // of a later version
	} {
		ev, err := c.Apply(entryOf(uint64(i+1), step.channel, step.data))
		got := ""
		if ev != nil {
			got = string(ev.JSON())
		}
		if err != nil || got != step.want {
			t.Errorf("step %d: %v, %s, want %s", i, err, got, step.want)
		}
	}
	if st := c.Stats(); st.Members != 0 || st.Bytes != 0 {
		t.Errorf("when all have left: %+v", st)
	}
}

// TestDamagedEntriesChangeNothing: whatever the bytes.
func TestDamagedEntriesChangeNothing(t *testing.T) {
	c := presence.NewCluster(presence.Config{}, 10, func(string) bool { return false }, func() []uint64 { return nil })
	for _, whole := range []string{
		"\x01\x01" + nodeB + "\x01\x03ann\x01x\x02\x03bob",
		"\x01\x02" + nodeB + "\x00\x03tea\x02\x03ann\x00\x05\x03bob\x01x\x05",
	} {
		for cut := range len(whole) {
			if _, err := c.Apply(entryOf(1, "tea", whole[:cut])); err == nil && cut != 10 && cut != 11 && cut != 17 {
				t.Errorf("%q was accepted", whole[:cut])
			}
			if p := c.List("tea", "", 9); p.Count > 0 && cut != 17 {
				t.Fatalf("%q changed something: %v", whole[:cut], p)
			}
			c.Apply(entryOf(2, "tea", "\x01\x01"+nodeB+"\x02\x03ann"))
		}
	}
	for _, data := range []string{"", "{}", `{"count":1}`, "\x02\x01" + nodeB, "\x01\x01" + nodeB + "\x03\x01a", "\x01\x02" + nodeB + "\x00\x01a\xff\xff\xff\xff\x7f"} {
		if _, err := c.Apply(entryOf(1, "tea", data)); err == nil {
			t.Errorf("%q was accepted", data)
		}
	}
}

// TestMembersOfANodeThatWasNeverHeardOf: its hellos are lost, and it may be gone: nobody would say that they leave.
func TestMembersOfANodeThatWasNeverHeardOf(t *testing.T) {
	live := []uint64{10}
	c := presence.NewCluster(presence.Config{}, 10, func(string) bool { return true }, func() []uint64 { return live })
	count := func() int { return c.List("tea", "", 9).Count }
	c.Apply(entryOf(1, "tea", "\x01\x01"+nodeB+"\x01\x03ann\x00"))
	c.Apply(entryOf(2, "", "\x01\x02"+nodeB+"\x00\x03tea\x01\x03bob\x00\x01"))
	if n := count(); n != 0 {
		t.Errorf("%d members of it", n)
	}
	live = []uint64{10, 11} // by a heartbeat
	c.Apply(entryOf(3, "tea", "\x01\x01"+nodeB+"\x01\x03ann\x00"))
	if n := count(); n != 1 {
		t.Errorf("%d members of it, now that it lives", n)
	}
	live = []uint64{10}
	c.OnGone(11)
	c.Apply(entryOf(4, "tea", "\x01\x01"+nodeB+"\x01\x03bob\x00"))
	if n := count(); n != 1 {
		t.Errorf("%d members of it, after it is gone", n)
	}
}

// TestNothingGrowsWhileTheLogIsGone: clients that come and go are forgotten, whether the node is known
// to the log or not.
func TestNothingGrowsWhileTheLogIsGone(t *testing.T) {
	for _, here := range []bool{false, true} {
		r := newRig(presence.Config{Grace: time.Millisecond})
		c := presence.NewCluster(presence.Config{}, 10, func(string) bool { return false }, func() []uint64 { return []uint64{10} })
		r.UseCluster(c)
		if here {
			c.OnHello(10)
		}
		refuse := func([]*log.Entry, func(error)) error { return log.ErrUnavailable }
		r.Join("stays", "ann", "")
		for i := range 200 {
			channel := fmt.Sprint("room-", i)
			for k := range 10 {
				r.Join(channel, fmt.Sprint(i, "-", k), "")
			}
			for k := range 10 {
				r.Leave(channel, fmt.Sprint(i, "-", k))
			}
			r.time = r.time.Add(2 * time.Second)
			r.Report(refuse)
		}
		if n := r.Touched(); n < 1 || n > 30 {
			t.Errorf("here %v: %d clients are remembered, want ann and those of the last rounds", here, n)
		}
	}
}

// TestRoomIsThatOfTheCluster: members on other nodes take room from this one.
func TestRoomIsThatOfTheCluster(t *testing.T) {
	r := newRig(presence.Config{Members: 10, ChannelMembers: 4})
	c := presence.NewCluster(presence.Config{Members: 10, ChannelMembers: 4}, 10, func(string) bool { return true }, func() []uint64 { return []uint64{10, 11} })
	r.UseCluster(c)
	for i, client := range []string{"ann", "bob", "cid"} {
		c.Apply(entryOf(uint64(i+1), "tea", "\x01\x01"+nodeB+"\x01\x03"+client+"\x00"))
	}
	if !r.Join("tea", "dan", "") || r.Join("tea", "eve", "") {
		t.Error("the channel has room for one more")
	}
	for i := range 7 {
		if got := r.Join(string(rune('a'+i)), "x", ""); got != (i < 6) {
			t.Errorf("member %d of this node: %v", i+2, got)
		}
	}
	want := []publication.Member{{Client: "ann"}, {Client: "bob"}, {Client: "cid"}}
	if p := r.List("tea", "", 10); p.Count != 3 || p.Members[0] != want[0] || p.Members[2] != want[2] || p.Connections != 1 {
		t.Errorf("the log has not said that dan is there: %+v", p)
	}
}
