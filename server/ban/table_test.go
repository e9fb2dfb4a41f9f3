package ban_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/server/ban"
)

// clock is one that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newTable(most int) (*ban.Table, *clock) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	return ban.New(most, c.now), c
}

func TestABanEndsWhenItsTimeIsUp(t *testing.T) {
	table, clock := newTable(10)
	table.Ban([]string{"ann"}, time.Minute)
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

func TestAFullTableRefusesAsAWholeUntilBansEnd(t *testing.T) {
	table, clock := newTable(2)
	table.Ban([]string{"ann"}, time.Minute)
	if table.Ban([]string{"bob", "cid"}, time.Hour) || table.Has([]byte("bob")) {
		t.Error("one too many is taken, or half of them")
	}
	if !table.Ban([]string{"ann", "bob"}, time.Minute) {
		t.Error("one that is there already needs room")
	}
	clock.advance(time.Minute)
	if !table.Ban([]string{"cid", "dan"}, time.Hour) {
		t.Error("bans that have ended take room")
	}
}

func TestSweepForgetsAllThatHaveEnded(t *testing.T) {
	table, clock := newTable(1000)
	for i := range 1000 {
		table.Ban([]string{fmt.Sprint(i)}, time.Duration(i+1)*time.Second)
	}
	clock.advance(700 * time.Second)
	table.Sweep()
	if table.Len() != 300 {
		t.Errorf("%d are left, want 300", table.Len())
	}
}

// A model without an order: what was said last about each name.
func TestTableIsAsTheModel(t *testing.T) {
	const most = 8
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, clock := newTable(most)
		until := map[string]time.Time{}
		for step := range 200 {
			var clients []string
			for range r.IntN(4) {
				if c := fmt.Sprint(r.IntN(12)); !slices.Contains(clients, c) {
					clients = append(clients, c)
				}
			}
			switch r.IntN(4) {
			case 0:
				clock.advance(time.Duration(r.IntN(20)) * time.Second)
			case 1:
				table.Sweep()
			default:
				for c, end := range until {
					if !clock.at.Before(end) {
						delete(until, c)
					}
				}
				length := time.Duration(r.IntN(60)-10) * time.Second
				after := map[string]time.Time{}
				for c, end := range until {
					after[c] = end
				}
				for _, c := range clients {
					delete(after, c)
					if length > 0 {
						after[c] = clock.at.Add(length)
					}
				}
				fits := length <= 0 || len(after) <= most
				if got := table.Ban(clients, length); got != fits {
					t.Fatalf("seed %d, step %d: Ban %q for %v: %v, want %v", seed, step, clients, length, got, fits)
				}
				if fits {
					until = after
				}
			}
			for i := range 12 {
				c := fmt.Sprint(i)
				if got, want := table.Has([]byte(c)), clock.at.Before(until[c]); got != want {
					t.Fatalf("seed %d, step %d: Has %s: %v, want %v", seed, step, c, got, want)
				}
			}
			if table.Len() > most {
				t.Fatalf("seed %d, step %d: %d bans, at most %d", seed, step, table.Len(), most)
			}
		}
	}
}

func TestHasAllocatesNothing(t *testing.T) {
	table, _ := newTable(10)
	table.Ban([]string{"ann"}, time.Minute)
	ann, bob := []byte("ann"), []byte("bob")
	if n := testing.AllocsPerRun(100, func() { table.Has(ann); table.Has(bob) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// For the race detector; and whoever Ban has returned for is banned for all.
func TestAnyGoroutineMayAsk(t *testing.T) {
	table := ban.New(1000, time.Now)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				name := fmt.Sprint(g, "-", i)
				table.Ban([]string{name}, time.Hour)
				if !table.Has([]byte(name)) {
					t.Errorf("%s is not banned", name)
				}
				table.Sweep()
				if i%2 == 0 {
					table.Ban([]string{name}, 0)
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
			table := ban.New(n, time.Now)
			for i := range n {
				table.Ban([]string{fmt.Sprint("client-", i)}, time.Hour)
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
