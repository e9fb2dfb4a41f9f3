package ban_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/ban"
	"peal/server/share"
)

// clock is one that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newTable(most int) (*ban.Table, *clock) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	return ban.New(most, most, c.now), c
}

func TestABanEndsWhenItsTimeIsUp(t *testing.T) {
	table, clock := newTable(10)
	table.Ban(1, []string{"ann"}, time.Minute)
	clock.advance(time.Minute - 1)
	if !table.Has([]byte("ann")) {
		t.Error("it ended early")
	}
	clock.advance(1)
	if table.Has([]byte("ann")) {
		t.Error("it does not end")
	}
	if table.Len() != 1 {
		t.Error("it was forgotten before Sweep: this test proves nothing")
	}
	table.Sweep()
	if table.Len() != 0 {
		t.Error("Sweep leaves it")
	}
}

func TestAFullTableSaysWhomItCannotKeepAway(t *testing.T) {
	table, clock := newTable(2)
	table.Ban(1, []string{"ann"}, time.Minute)
	if refused, _ := table.Ban(1, []string{"bob", "cid"}, time.Hour); !slices.Equal(refused, []string{"cid"}) || !table.Has([]byte("bob")) || table.Has([]byte("cid")) {
		t.Errorf("refused %q", refused)
	}
	if refused, _ := table.Ban(1, []string{"ann", "bob"}, time.Minute); refused != nil {
		t.Errorf("those who are there already need room: %q", refused)
	}
	if refused, _ := table.Ban(1, []string{"cid"}, 0); refused != nil {
		t.Errorf("a ban that is lifted needs room: %q", refused)
	}
	clock.advance(time.Minute)
	if refused, _ := table.Ban(1, []string{"cid", "dan"}, time.Hour); refused != nil {
		t.Errorf("bans that have ended take room: %q", refused)
	}
}

// banEach bans clients with one letter each for a share, and returns the refused.
func banEach(table *ban.Table, by share.Key, clients string, length time.Duration) (refused string) {
	for _, client := range clients {
		without, _ := table.Ban(by, []string{string(client)}, length)
		refused += strings.Join(without, "")
	}
	return refused
}

func banned(table *ban.Table, clients string) (known string) {
	for _, client := range clients {
		if table.Has([]byte(string(client))) {
			known += string(client)
		}
	}
	return known
}

// TestOneShareLeavesRoomForOthers: a client that bans as many clients as there is
// room for, for a day, gets its share only, and the result has the others.
func TestOneShareLeavesRoomForOthers(t *testing.T) {
	clock := &clock{time.Unix(1_700_000_000, 0)}
	table := ban.New(6, 3, clock.now)
	if refused := banEach(table, 1, "abcdef", 24*time.Hour); refused != "def" {
		t.Errorf("refused %q, want def", refused)
	}
	if refused := banEach(table, 2, "xyz", time.Minute); refused != "" {
		t.Errorf("another share: refused %q", refused)
	}
	// A full table: the largest share gives what would end first, to smaller ones.
	table.Ban(1, []string{"b"}, time.Hour)
	if refused := banEach(table, 3, "AB", time.Minute); refused != "" || banned(table, "abcxyzAB") != "acyzAB" {
		t.Errorf("a third share: refused %q, banned %q", refused, banned(table, "abcxyzAB"))
	}
	if refused := banEach(table, 3, "C", time.Minute); refused != "C" || table.Evicted() != 2 {
		t.Errorf("who would be larger than all others: refused %q, %d evicted", refused, table.Evicted())
	}
	clock.advance(time.Minute)
	if refused := banEach(table, 1, "d", time.Minute); refused != "" || banned(table, "abcdxyzAB") != "acd" {
		t.Errorf("when others have ended: refused %q, banned %q", refused, banned(table, "abcdxyzAB"))
	}
}

func TestSweepForgetsAllThatHaveEnded(t *testing.T) {
	table, clock := newTable(1000)
	for i := range 1000 {
		table.Ban(1, []string{fmt.Sprint(i)}, time.Duration(i+1)*time.Second)
	}
	clock.advance(700 * time.Second)
	table.Sweep()
	if table.Len() != 300 {
		t.Errorf("%d are left, want 300", table.Len())
	}
}

// modelBan is a ban as the model has it: a line in a list.
type modelBan struct {
	client string
	by     share.Key
	until  time.Time
}

type model struct {
	bans            []modelBan
	most, shareMost int
	now             time.Time
}

func (m *model) held(by share.Key) (n int) {
	for _, b := range m.bans {
		if b.by == by {
			n++
		}
	}
	return n
}

func (m *model) ban(by share.Key, client string, length time.Duration) (ok bool) {
	m.bans = slices.DeleteFunc(m.bans, func(b modelBan) bool { return !m.now.Before(b.until) })
	at := slices.IndexFunc(m.bans, func(b modelBan) bool { return b.client == client })
	switch {
	case length <= 0:
		if at >= 0 {
			m.bans = slices.Delete(m.bans, at, at+1)
		}
		return true
	case at >= 0:
		m.bans[at].until = m.now.Add(length)
		return true
	case m.held(by) >= m.shareMost:
		return false
	}
	if len(m.bans) >= m.most {
		victim := slices.MinFunc(m.bans, func(a, b modelBan) int {
			return cmp.Or(m.held(b.by)-m.held(a.by), cmp.Compare(a.by, b.by), a.until.Compare(b.until), cmp.Compare(a.client, b.client))
		})
		if m.held(victim.by) <= m.held(by)+1 {
			return false
		}
		m.bans = slices.DeleteFunc(m.bans, func(b modelBan) bool { return b == victim })
	}
	m.bans = append(m.bans, modelBan{client, by, m.now.Add(length)})
	return true
}

func TestTableIsAsTheModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		clock := &clock{time.Unix(1_700_000_000, 0)}
		m := &model{most: 8, shareMost: 2 + r.IntN(8)}
		table := ban.New(m.most, m.shareMost, clock.now)
		for step := range 300 {
			m.now = clock.at
			switch r.IntN(4) {
			case 0:
				clock.advance(time.Duration(r.IntN(20)) * time.Second)
			case 1:
				table.Sweep()
			default:
				table.Sweep() // for the shares of those that have ended, which the table may still count
				by := share.Key(r.IntN(4))
				length := time.Duration(r.IntN(60)-10) * time.Second
				var clients, want []string
				for range r.IntN(4) {
					if c := fmt.Sprint(r.IntN(16)); !slices.Contains(clients, c) {
						clients = append(clients, c)
					}
				}
				for _, c := range clients {
					if !m.ban(by, c, length) {
						want = append(want, c)
					}
				}
				if got, _ := table.Ban(by, clients, length); !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: share %d, %q for %v: refused %q, want %q", seed, step, by, clients, length, got, want)
				}
			}
			for i := range 16 {
				c := fmt.Sprint(i)
				want := slices.ContainsFunc(m.bans, func(b modelBan) bool { return b.client == c && clock.at.Before(b.until) })
				if got := table.Has([]byte(c)); got != want {
					t.Fatalf("seed %d, step %d: Has %s: %v, want %v", seed, step, c, got, want)
				}
			}
			if table.Len() > m.most {
				t.Fatalf("seed %d, step %d: %d bans, at most %d", seed, step, table.Len(), m.most)
			}
		}
	}
}

func TestHasAllocatesNothing(t *testing.T) {
	table, _ := newTable(10)
	table.Ban(1, []string{"ann"}, time.Minute)
	ann, bob := []byte("ann"), []byte("bob")
	if n := testing.AllocsPerRun(100, func() { table.Has(ann); table.Has(bob) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// For the race detector; and whoever Ban has returned for is banned for all.
func TestAnyGoroutineMayAsk(t *testing.T) {
	table := ban.New(1000, 1000, time.Now)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				name := fmt.Sprint(g, "-", i)
				table.Ban(1, []string{name}, time.Hour)
				if !table.Has([]byte(name)) {
					t.Errorf("%s is not banned", name)
				}
				table.Sweep()
				if i%2 == 0 {
					table.Ban(1, []string{name}, 0)
				}
				if i%50 == 0 {
					table.Each(func(string, time.Time) {})
				}
			}
		})
	}
	all.Wait()
	if table.Len() != 400 {
		t.Errorf("%d bans, want 400", table.Len())
	}
}

// BenchmarkHas is what each named connection that comes costs.
func BenchmarkHas(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("bans=%d", n), func(b *testing.B) {
			table := ban.New(n, n, time.Now)
			for i := range n {
				table.Ban(1, []string{fmt.Sprint("client-", i)}, time.Hour)
			}
			client := []byte("client-5000")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				table.Has(client)
			}
		})
	}
}

func TestRestoredBansEndWhenTheyWould(t *testing.T) {
	table, clock := newTable(10)
	table.Restore("ann", clock.at.Add(time.Minute))
	table.Restore("old", clock.at)
	table.Restore("bob", clock.at.Add(100*24*time.Hour))
	if got := table.Len(); got != 2 || table.Has([]byte("old")) {
		t.Errorf("%d bans, want 2", got)
	}
	clock.advance(time.Minute)
	if table.Has([]byte("ann")) || !table.Has([]byte("bob")) {
		t.Error("ann is banned, or bob is not")
	}
	table.Restore("bob", clock.at) // let in again
	if table.Has([]byte("bob")) {
		t.Error("a later word does not hold")
	}
}

// Those that are restored may have all the room; when it is used up, those that end
// first go, and afterwards they make way for small shares.
func TestRestoredBansFillTheTable(t *testing.T) {
	clock := &clock{time.Unix(1_700_000_000, 0)}
	table := ban.New(4, 2, clock.now)
	for i, client := range []string{"c", "a", "d", "b", "e"} {
		table.Restore(client, clock.at.Add(time.Duration(client[0])*time.Minute))
		if want := min(i+1, 4); table.Len() != want {
			t.Fatalf("%d bans after %d, want %d", table.Len(), i+1, want)
		}
	}
	table.Restore("A", clock.at.Add(time.Minute)) // would be the first to end
	if got := banned(table, "Aabcde"); got != "bcde" || table.Evicted() != 2 {
		t.Errorf("%q, %d evicted", got, table.Evicted())
	}
	if refused := banEach(table, 1, "xyz", time.Hour); refused != "z" || banned(table, "bcdexyz") != "dexy" {
		t.Errorf("refused %q, banned %q", refused, banned(table, "bcdexyz"))
	}
}

func TestEachVisitsWhatIsInForce(t *testing.T) {
	table, clock := newTable(5000)
	want := map[string]bool{}
	for i := range 3000 {
		name := fmt.Sprint(i)
		table.Ban(1, []string{name}, time.Duration(1+i%2)*time.Minute)
		want[name] = i%2 == 1
	}
	clock.advance(time.Minute)
	n := 0
	table.Each(func(client string, until time.Time) {
		if n++; !want[client] || until != clock.at.Add(time.Minute) {
			t.Errorf("%s until %v", client, until)
		}
	})
	if n != 1500 {
		t.Errorf("%d visited, want 1500", n)
	}
}
