package presence_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

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

// Who watches a channel that nobody watched begins with an event that makes it
// ask for the list; while somebody is subscribed, or was a moment ago, it goes on.
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
	r := check("bytes", presence.Config{Bytes: 1100, Grace: time.Second}, "0 1 2, ")
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

func TestLeaveWithoutJoinPanics(t *testing.T) {
	for _, joined := range []bool{false, true} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it does not")
				}
			}()
			r := newRig(presence.Config{})
			if joined {
				r.Join("a", "bob", "")
			}
			r.Leave("a", "ann")
		}()
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

// What is counted must not be less than what is used.
func TestBytesAreWhatIsUsed(t *testing.T) {
	const members = 50_000
	for _, channels := range []int{1, members / 10, members} {
		names := make([]string, channels)
		for i := range names {
			names[i] = fmt.Sprint("channel", i)
		}
		clients := make([]string, members)
		for i := range clients {
			clients[i] = fmt.Sprintf("client%06d", i) // allocated before: texts are counted by their length
		}
		rand.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
		r := newRig(presence.Config{})
		before := heap()
		for i, client := range clients {
			r.Join(names[i%channels], client, "")
			r.Leave(names[i%channels], client) // the dearest state: in its grace
		}
		used, counted := heap()-before, r.Stats().Bytes-members*len(clients[0])
		t.Logf("%d channels: %d B used, %d B counted for a member", channels, used/members, counted/members)
		if used > counted {
			t.Errorf("%d channels: %d B used, %d B counted", channels, used, counted)
		}
		runtime.KeepAlive(names)
		runtime.KeepAlive(clients)
		runtime.KeepAlive(r)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestAllocationsOfAFurtherConnection(t *testing.T) {
	r := newRig(presence.Config{})
	r.Watch("a")
	r.Join("a", "ann", "x")
	if n := testing.AllocsPerRun(100, func() {
		r.Join("a", "ann", "x")
		r.Leave("a", "ann")
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
