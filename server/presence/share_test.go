package presence_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"peal/server/presence"
	"peal/server/share"
)

const (
	honest   share.Key = 1
	attacker share.Key = 2
	many     share.Key = 100 // the first of those of an attacker with many addresses
)

// missing is how many of the clients 0 to n-1 of the honest are not listed on
// their channels.
func (r *rig) missing(n int) (missing int) {
	for i := range n {
		if r.clients(fmt.Sprint("room-", i)) != fmt.Sprint("honest-", i) {
			missing++
		}
	}
	return missing
}

func (r *rig) come(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if !r.joinBy(honest, fmt.Sprint("room-", i), fmt.Sprint("honest-", i), "") {
			t.Errorf("the honest client %d finds no room", i)
		}
	}
}

// TestOneShareLeavesRoom: whoever stays, or comes and goes under new names, has
// half of the table at most, by members or by bytes, and others notice nothing.
func TestOneShareLeavesRoom(t *testing.T) {
	for name, config := range map[string]presence.Config{
		"members": {Members: 1000, Share: 50},
		"bytes":   {Bytes: 330_000, Share: 50},
	} {
		for _, stays := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/stays=%v", name, stays), func(t *testing.T) {
				r := newRig(config)
				r.come(t, 0, 20)
				listed := 0
				for i := range 5000 {
					channel, client := fmt.Sprint("flood-", i%128), fmt.Sprint("x", i)
					if r.joinBy(attacker, channel, client, strings.Repeat("i", 40)) {
						listed++
						if !stays {
							r.Leave(channel, client)
						}
					}
				}
				if stays && (listed == 0 || listed > 520) || !stays && listed != 5000 {
					t.Errorf("%d of 5,000 clients of one share were listed", listed)
				}
				r.come(t, 20, 40)
				if n := r.missing(40); n > 0 {
					t.Errorf("%d of 40 honest clients are not listed", n)
				}
				st := r.Stats()
				if stays && st.Evicted > 0 || st.Members > 1000 {
					t.Errorf("stats are %+v", st)
				}
			})
		}
	}
}

// TestManySharesGiveUpTheLargest: of a table that is full, those of the largest
// share go, and who holds less than a fair part keeps it and finds room for more.
func TestManySharesGiveUpTheLargest(t *testing.T) {
	r := newRig(presence.Config{Members: 1000, Share: 50})
	r.come(t, 0, 4)
	for k := range share.Key(50) {
		for i := range 500 {
			r.joinBy(many+k, fmt.Sprint("flood-", i%128), fmt.Sprint("x", k, "-", i), "")
		}
	}
	r.come(t, 4, 8)
	if n, st := r.missing(8), r.Stats(); n > 0 || st.Members > 1000 || st.Evicted == 0 {
		t.Errorf("%d of 8 honest clients are not listed; stats are %+v", n, st)
	}
	// Those who were given up are still connected, and their end is no fault.
	for at, guests := range r.guests {
		for range guests {
			r.Leave(at[0], at[1])
		}
	}
	r.pass(time.Minute)
	if st := r.Stats(); st.Members != 0 || st.Bytes != 0 {
		t.Errorf("when all have gone: %+v", st)
	}
}

// TestAFullChannelMakesWay: one share that fills the list of one channel does not
// keep others from it.
func TestAFullChannelMakesWay(t *testing.T) {
	r := newRig(presence.Config{Members: 10_000, ChannelMembers: 100})
	for i := range 200 {
		r.joinBy(attacker, "room", fmt.Sprint("x", i), "")
	}
	for i := range 20 {
		if !r.joinBy(honest, "room", fmt.Sprint("honest-", i), "") {
			t.Errorf("the honest client %d is not listed", i)
		}
	}
	if p := r.List("room", "honest", 20); p.Count != 100 || len(p.Members) != 20 || p.Members[19].Client != "honest-9" {
		t.Errorf("%d members, after the x there are %v", p.Count, p.Members)
	}
}

// TestWhoHasLeftMakesWayFirst: in a share that is full, as that of a proxy may be,
// members in their grace make room for those who come.
func TestWhoHasLeftMakesWayFirst(t *testing.T) {
	r := newRig(presence.Config{Members: 8, Share: 50, Grace: time.Minute})
	for _, client := range []string{"ann", "bob", "cid", "dan"} {
		r.joinBy(honest, "room", client, "")
	}
	if r.joinBy(honest, "room", "eve", "") {
		t.Error("eve found room where all were present")
	}
	r.Leave("room", "bob")
	r.Leave("room", "cid")
	r.joinBy(honest, "room", "bob", "") // is back
	if !r.joinBy(honest, "room", "eve", "") || r.clients("room") != "ann bob dan eve" {
		t.Errorf("listed are %s", r.clients("room"))
	}
}

// TestWatchingLeavesRoomForMembers: channels that are watched and have no members
// take three quarters of the table at most, and half for one share.
func TestWatchingLeavesRoomForMembers(t *testing.T) {
	r := newRig(presence.Config{Bytes: 400_000, Share: 50})
	watched := map[share.Key]int{}
	for _, by := range []share.Key{attacker, many, many + 1} {
		for i := range 2000 {
			if r.Table.Watch(by, fmt.Sprint(by, "-", i)) {
				watched[by]++
			}
		}
	}
	if watched[attacker] > 200_000/288 || watched[attacker] == 0 || watched[many] == 0 || r.Stats().Bytes > 300_000 {
		t.Errorf("watched %v, stats %+v", watched, r.Stats())
	}
	r.come(t, 0, 40)
}

// TestSharesAreKeptInOrder: whatever happens under tight limits, they hold, and
// when all have gone nothing is left.
func TestSharesAreKeptInOrder(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		config := presence.Config{
			Members: 4 + random.IntN(30), ChannelMembers: 2 + random.IntN(10), Bytes: 2000 + random.IntN(10_000),
			Share: 20 + random.IntN(81), Grace: time.Second,
		}
		r := newRig(config)
		var guests []*presence.Guest
		for step := range 2000 {
			switch n := random.IntN(10); {
			case n < 5:
				by := share.Key(random.IntN(6))
				g := r.Enter(by, fmt.Sprint(random.IntN(30)), strings.Repeat("i", random.IntN(50)))
				guests = append(guests, g)
				fallthrough
			case n < 6 && len(guests) > 0:
				g := guests[random.IntN(len(guests))]
				var channels []string
				for range 1 + random.IntN(4) {
					channels = append(channels, fmt.Sprint("c", random.IntN(8)))
				}
				client := g.Client()
				if random.IntN(2) == 0 {
					client = fmt.Sprint("another-", random.IntN(30))
				}
				g.Sit(channels, client, "", func(int) bool { return random.IntN(4) > 0 })
			case n < 8 && len(guests) > 0:
				i := random.IntN(len(guests))
				if random.IntN(3) == 0 {
					guests[i].Rise(func(channel string) bool { return channel < "c4" })
					continue
				}
				guests[i].Dismissed = random.IntN(2) == 0
				guests[i].End()
				guests = append(guests[:i], guests[i+1:]...)
			case n < 9:
				r.Table.Watch(share.Key(random.IntN(6)), fmt.Sprint("c", random.IntN(8)))
			default:
				r.pass(time.Duration(random.IntN(500)) * time.Millisecond)
			}
			if st := r.Stats(); st.Members > config.Members {
				t.Fatalf("seed %d: stats are %+v", seed, st)
			}
			if step%20 > 0 {
				continue
			}
			count := 0
			for i := range 8 {
				p := r.List(fmt.Sprint("c", i), "", 100)
				if count += p.Count; p.Count > config.ChannelMembers || p.Count != len(p.Members) {
					t.Fatalf("seed %d: a channel has %d members and lists %d", seed, p.Count, len(p.Members))
				}
			}
			if st := r.Stats(); count != st.Members {
				t.Fatalf("seed %d: %d members are listed; stats are %+v", seed, count, st)
			}
		}
		for _, g := range guests {
			g.End()
		}
		for range 4 {
			r.pass(2 * time.Second)
			r.time = r.time.Add(2 * time.Minute)
			r.Sweep()
		}
		if st := r.Stats(); st.Members != 0 || st.Bytes != 0 {
			t.Fatalf("seed %d: when all have gone: %+v", seed, st)
		}
	}
}
