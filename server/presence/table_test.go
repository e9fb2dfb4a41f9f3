package presence_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"peal/loop/dense"
	"peal/server/presence"
)

func TestConnectionsOfOneClientAreOneMember(t *testing.T) {
	r := newRig(presence.Config{Grace: time.Second})
	r.Join("a", "ann", "Ann")
	r.Join("a", "ann", "")
	r.Join("a", "bob", "")
	if got, p := r.clients("a"), r.List("a", "", 10); got != "ann=Ann bob" || p.Count != 2 || p.Connections != 3 {
		t.Errorf("%s, %d members, %d connections", got, p.Count, p.Connections)
	}
	r.Leave("a", "ann")
	r.pass(time.Minute)
	if got := r.clients("a"); got != "ann=Ann bob" {
		t.Errorf("one of two connections gone: %s", got)
	}
	r.Leave("a", "ann")
	r.pass(time.Second)
	if got, p := r.clients("a"), r.List("a", "", 10); got != "bob" || p.Count != 1 || p.Connections != 1 {
		t.Errorf("%s, %d members, %d connections", got, p.Count, p.Connections)
	}
}

func TestAReconnectWithinTheGraceIsNoEvent(t *testing.T) {
	r := newRig(presence.Config{Grace: 3 * time.Second})
	r.Watch("a")
	r.Join("a", "ann", "")
	r.pass(time.Second)
	r.want(t, `a {"count":1,"joined":1,"left":0}`)
	for range 10 {
		r.Leave("a", "ann")
		r.pass(3*time.Second - time.Millisecond)
		r.Join("a", "ann", "")
	}
	r.pass(10 * time.Second)
	r.want(t)
	r.Leave("a", "ann")
	r.pass(3*time.Second - time.Millisecond)
	r.want(t)
	r.pass(2 * presence.TickEvery)
	r.want(t, `a {"count":0,"join":[],"leave":[{"client":"ann"}]}`)
}

func TestAGraceMayBeEnded(t *testing.T) {
	r := newRig(presence.Config{Grace: time.Minute})
	r.Watch("a")
	r.Join("a", "ann", "")
	r.Join("a", "bob", "")
	r.pass(time.Second)
	r.take()
	r.Leave("a", "bob")
	r.EndGrace("a", "ann") // is connected
	r.EndGrace("a", "cid") // is not there
	r.EndGrace("b", "ann")
	r.pass(time.Second)
	r.want(t)
	r.Leave("a", "ann")
	r.EndGrace("a", "ann")
	r.pass(2 * presence.TickEvery)
	r.want(t, `a {"count":1,"join":[],"leave":[{"client":"ann"}]}`)
	if r.list("a", 9)[0].Client != "bob" {
		t.Error("bob went before his time")
	}
}

func TestEventsHaveTheNewestStateOfEachClientOnce(t *testing.T) {
	r := newRig(presence.Config{Grace: time.Millisecond})
	r.Watch("a")
	r.pass(time.Second)
	r.want(t, `a {"count":0,"joined":0,"left":0}`)
	r.Join("a", "ann", "1")
	r.Join("a", "bob", `"<&`)
	r.Join("a", "ann", "2")
	r.pass(time.Second)
	r.want(t, `a {"count":2,"join":[{"client":"ann","info":"2"},{"client":"bob","info":"\"<&"}],"leave":[]}`)
	r.Join("a", "ann", "2")
	r.Join("a", "ann", "")
	r.pass(time.Second)
	r.want(t) // nothing new
	r.Join("a", "ann", "3")
	r.pass(time.Second)
	r.want(t, `a {"count":2,"join":[{"client":"ann","info":"3"}],"leave":[]}`)

	// Gone and back, and the other way round, while the log is full.
	r.full = true
	r.Leave("a", "bob")
	r.pass(time.Second)
	r.Join("a", "bob", "")
	r.Join("a", "carl", "")
	r.Leave("a", "carl")
	r.pass(time.Second)
	r.full = false
	r.pass(time.Second)
	r.want(t, `a {"count":1,"join":[],"leave":[{"client":"bob"}]}`, `a {"count":2,"join":[{"client":"bob"}],"leave":[{"client":"carl"}]}`)
}

func TestManyMembersAreCountedOnceASecond(t *testing.T) {
	r := newRig(presence.Config{Named: 3, Grace: 100 * time.Millisecond})
	r.Watch("a")
	r.pass(time.Second)
	r.take()
	for i := range 3 {
		r.Join("a", fmt.Sprint(i), "")
	}
	r.pass(100 * time.Millisecond)
	r.want(t, `a {"count":3,"join":[{"client":"0"},{"client":"1"},{"client":"2"}],"leave":[]}`)
	for i := range 50 {
		r.Join("a", fmt.Sprint("more", i), "")
		r.pass(100 * time.Millisecond)
	}
	r.want(t,
		`a {"count":13,"joined":10,"left":0}`, `a {"count":23,"joined":10,"left":0}`, `a {"count":33,"joined":10,"left":0}`,
		`a {"count":43,"joined":10,"left":0}`, `a {"count":53,"joined":10,"left":0}`)
	for i := range 50 {
		r.Leave("a", fmt.Sprint("more", i))
	}
	r.pass(time.Second)
	r.want(t, `a {"count":3,"joined":0,"left":50}`) // of more than three changes the names are not kept
	r.Leave("a", "0")
	r.Leave("a", "1")
	r.pass(time.Second)
	r.want(t, `a {"count":1,"join":[],"leave":[{"client":"0"},{"client":"1"}]}`)
}

func TestLongNamesDoNotMakeAnEventLargerThanARing(t *testing.T) {
	r := newRig(presence.Config{})
	r.Watch("a")
	r.pass(time.Second)
	for i := range 20 {
		r.Join("a", fmt.Sprint(i), strings.Repeat("\x01", 1000)) // six bytes each in JSON
	}
	r.take()
	r.pass(time.Second)
	r.want(t, `a {"count":20,"joined":20,"left":0}`)
}

// The first watcher of a channel begins with an event that makes it request the
// list; while there are watchers, or were a moment ago, events continue.
func TestNobodyMissesWhatWasNotPublished(t *testing.T) {
	r := newRig(presence.Config{})
	r.Join("a", "ann", "")
	r.pass(time.Minute)
	r.want(t) // nobody asked
	r.Watch("a")
	r.pass(time.Second)
	r.want(t, `a {"count":1,"joined":0,"left":0}`)
	r.asked["a"] = true
	for range 300 {
		r.pass(time.Second)
		r.Sweep()
	}
	r.Join("a", "bob", "")
	r.pass(time.Second)
	r.want(t, `a {"count":2,"join":[{"client":"bob"}],"leave":[]}`)
	r.asked["a"] = false
	r.Join("a", "carl", "")
	for range 58 {
		r.pass(time.Second)
		r.Sweep()
	}
	r.Watch("a") // back in time: nothing was missed
	r.pass(time.Second)
	r.want(t, `a {"count":3,"join":[{"client":"carl"}],"leave":[]}`)
	for range 122 {
		r.pass(time.Second)
		r.Sweep()
	}
	r.Join("a", "dora", "")
	r.pass(time.Second)
	r.want(t)
	r.Watch("a")
	r.pass(time.Second)
	r.want(t, `a {"count":4,"joined":0,"left":0}`)
}

func TestALostEventIsFollowedByOneWithoutNames(t *testing.T) {
	r := newRig(presence.Config{})
	r.Watch("a")
	r.Join("a", "ann", "")
	r.pass(time.Second)
	r.take()
	r.Lost("a")
	r.Lost("unknown")
	r.pass(time.Second)
	r.want(t, `a {"count":1,"joined":0,"left":0}`)
}

func TestWhoFindsNoRoomIsNotListed(t *testing.T) {
	check := func(what string, c presence.Config, want string) *rig {
		t.Helper()
		r := newRig(c)
		for _, channel := range []string{"a", "b"} {
			for i := range 3 {
				client := fmt.Sprint(i)
				if r.Join(channel, client, "") { // and a second connection of who is listed always finds room
					r.Join(channel, client, "")
					r.Leave(channel, client)
				}
			}
		}
		if got := r.clients("a") + ", " + r.clients("b"); got != want || r.Stats().Unlisted == 0 {
			t.Errorf("%s: %s, want %s; stats %+v", what, got, want, r.Stats())
		}
		return r
	}
	check("members of a channel", presence.Config{ChannelMembers: 2}, "0 1, 0 1")
	check("members of all", presence.Config{Members: 4, Grace: time.Second}, "0 1 2, 0")
	r := check("bytes", presence.Config{Bytes: 1400, Grace: time.Second}, "0 1 2, ")
	if r.Watch("c") {
		t.Error("there is room to watch another channel")
	}
	if r.Join("a", "0", strings.Repeat("x", 1000)); r.clients("a") != "0 1 2" {
		t.Errorf("an info that found no room: %s", r.clients("a"))
	}
	for i := range 3 {
		r.Leave("a", fmt.Sprint(i))
	}
	r.Leave("a", "0")
	r.pass(2 * time.Second)
	if s := r.Stats(); s.Members != 0 || s.Bytes != 0 {
		t.Errorf("when all have gone: %+v", s)
	}
	if !r.Join("b", "0", "") || !r.Watch("b") {
		t.Error("no room after all have gone")
	}
}

func TestWorkIsSignalled(t *testing.T) {
	r := newRig(presence.Config{Grace: time.Second})
	work := func() bool {
		select {
		case <-r.Work():
			return true
		default:
			return false
		}
	}
	if r.Join("a", "ann", ""); work() {
		t.Error("nobody watches: there is nothing to tell")
	}
	if r.Leave("a", "ann"); !work() {
		t.Error("a grace has begun unseen")
	}
	if !r.Tick(r.publish) {
		t.Error("a grace runs, and the tick says that there is nothing to do")
	}
	r.time = r.time.Add(time.Second)
	if r.Tick(r.publish) || work() {
		t.Error("there is more to do with nobody there")
	}
	if r.Watch("a"); !work() {
		t.Error("somebody watches unseen")
	}
}

// TestBytesAreWhatIsUsed compares what is charged with the heap that connections,
// members and channels take, texts included, as a front holds them.
func TestBytesAreWhatIsUsed(t *testing.T) {
	for _, row := range []struct {
		name           string
		guests, each   int // connections, and channels of one of them
		channels       int // in all
		client, info   int // lengths
		leave, another bool
	}{
		{name: "one channel", guests: 8000, each: 1, channels: 1, client: 9},
		{name: "one channel, in their grace", guests: 8000, each: 1, channels: 1, client: 9, leave: true},
		{name: "ten on a channel", guests: 8000, each: 1, channels: 800, client: 9},
		{name: "a channel each", guests: 8000, each: 1, channels: 8000, client: 9},
		{name: "a channel each, in their grace", guests: 8000, each: 1, channels: 8000, client: 9, leave: true},
		{name: "long names", guests: 8000, each: 1, channels: 200, client: 200, info: 1000},
		{name: "a room and a channel each", guests: 8000, each: 2, channels: 8001, client: 12, info: 40},
		{name: "128 channels, shared", guests: 400, each: 128, channels: 1000, client: 20},
		{name: "128 channels of their own", guests: 200, each: 128, channels: 25_600, client: 200, info: 1000},
		{name: "128 channels, in their grace", guests: 400, each: 128, channels: 1000, client: 20, leave: true},
		{name: "many connections of one name", guests: 8000, each: 1, channels: 1, client: 9, another: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			names := make([]string, row.channels)
			known := make([]bool, row.channels) // the name is charged with its channel
			for i := range names {
				names[i] = fmt.Sprintf("channel-%08d", i)
			}
			order := rand.Perm(row.guests)
			picked := make([]string, row.each)
			r := newRig(presence.Config{Bytes: 1 << 30, Members: 1 << 20})
			before := heap()
			var guests dense.Large[uint64, *presence.Guest]
			for i, n := range order {
				client := fmt.Sprintf("%0*d", row.client, n)
				if row.another {
					client = strings.Repeat("x", row.client)
				}
				for k := range picked {
					at := (i*row.each + k) % row.channels
					if row.name == "a room and a channel each" {
						at = k * (i + 1)
					}
					if picked[k] = names[at]; !known[at] {
						known[at], picked[k] = true, strings.Clone(names[at])
					}
				}
				g := r.Enter(1, client, strings.Repeat("i", row.info))
				if unlisted, ok := g.Sit(picked, client, strings.Repeat("i", row.info), all); unlisted > 0 || !ok {
					t.Fatal("not listed")
				}
				if row.leave {
					g.End()
				} else {
					g.Session = uint64(i)
					guests.Add(presence.HashOf(g.Session), g)
				}
			}
			used, charged := heap()-before, r.Stats().Bytes
			ratio := float64(charged) / float64(used)
			t.Logf("%d B used, %d B charged for a member: %.2f", used/(row.guests*row.each), charged/(row.guests*row.each), ratio)
			if ratio < 0.9 || ratio > 1.5 {
				t.Errorf("%d B used, %d B charged", used, charged)
			}
			runtime.KeepAlive(&guests)
			runtime.KeepAlive(names)
			runtime.KeepAlive(r)
		})
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A further connection of a member costs its guest, its texts and its seat.
func TestAllocationsOfAFurtherConnection(t *testing.T) {
	r := newRig(presence.Config{})
	r.Watch("a")
	r.Join("a", "ann", "x")
	channels := []string{"a"}
	if n := testing.AllocsPerRun(100, func() {
		g := r.Enter(1, "ann", "x")
		g.Sit(channels, "ann", "x", all)
		g.End()
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
}
