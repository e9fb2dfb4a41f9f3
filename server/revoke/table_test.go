package revoke_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/server/grant"
	"peal/server/revoke"
)

// clock is one that only the test moves.
type clock struct {
	at      time.Time
	elapsed time.Duration
}

func (c *clock) now() time.Time { return c.at }

// pass lets time pass; set only moves the clock.
func (c *clock) pass(d time.Duration) { c.at, c.elapsed = c.at.Add(d), c.elapsed+d }
func (c *clock) set(d time.Duration)  { c.at = c.at.Add(d) }

const start = 1_700_000_000

func newTable(most int, keep time.Duration) (*revoke.Table, *clock) {
	c := &clock{at: time.Unix(start, 0)}
	t := revoke.New(most, keep, c.now)
	t.Elapsed(func() time.Duration { return c.elapsed })
	return t, c
}

func set(names ...string) map[string]struct{} {
	all := map[string]struct{}{}
	for _, name := range names {
		all[name] = struct{}{}
	}
	return all
}

func subjects(before int64, names ...string) *revoke.Order {
	return &revoke.Order{Subjects: set(names...), Before: before}
}

func ids(names ...string) *revoke.Order { return &revoke.Order{IDs: set(names...)} }

func user(sub, jti string, issued int64) *grant.Grant {
	return &grant.Grant{Kind: grant.User, Subject: sub, ID: jti, Issued: issued}
}

func TestWhatAnOrderCovers(t *testing.T) {
	both := &revoke.Order{Subjects: set("ann", ""), Before: 100, IDs: set("x", "")}
	backend := &grant.Grant{Kind: grant.Backend, Subject: "ann", ID: "x"}
	table, _ := newTable(10, time.Hour)
	if _, ok := table.Revoke(both); !ok {
		t.Fatal("no room")
	}
	for _, c := range []struct {
		what string
		g    *grant.Grant
		want bool
	}{
		{"issued before", user("ann", "", 99), true},
		{"issued in that second", user("ann", "", 100), true},
		{"issued after", user("ann", "", 101), false},
		{"issued at an unknown time", user("ann", "", 0), true},
		{"of another subject", user("ann2", "", 99), false},
		{"with the ID", user("bob", "x", 1000), true},
		{"with another ID", user("bob", "xx", 1000), false},
		{"without an ID", user("bob", "", 1000), false},
		{"of the empty subject", user("", "", 1), true},
		{"a key of that name", backend, false},
		{"anonymous", &grant.Grant{Subject: "ann", ID: "x"}, false},
		{"nobody", nil, false},
	} {
		if got := both.Covers(c.g); got != c.want {
			t.Errorf("%s: the order covers it: %v, want %v", c.what, got, c.want)
		}
		if got := table.Has(c.g); got != c.want {
			t.Errorf("%s: the table has it: %v, want %v", c.what, got, c.want)
		}
	}
}

// A later order never lets in what an earlier one has revoked.
func TestTheLatestBeforeCounts(t *testing.T) {
	table, _ := newTable(10, time.Hour)
	table.Revoke(subjects(start, "ann"))
	table.Revoke(subjects(start-100, "ann"))
	if !table.Has(user("ann", "", start)) {
		t.Error("an order about older tokens has undone one about newer ones")
	}
	table.Revoke(subjects(start+1, "ann"))
	if !table.Has(user("ann", "", start+1)) || table.Has(user("ann", "", start+2)) || table.Stats().Names != 1 {
		t.Errorf("an order about newer tokens has not replaced it; %d entries", table.Stats().Names)
	}
}

func TestAnOrderThatDoesNotFitRevokesNothing(t *testing.T) {
	table, c := newTable(3, time.Hour)
	table.Revoke(subjects(start, "a", "b"))
	c.pass(time.Second)
	if _, ok := table.Revoke(&revoke.Order{Subjects: set("c"), Before: start, IDs: set("c")}); ok {
		t.Error("an order of 2 names fits where there is room for 1")
	}
	if table.Has(user("c", "c", 1)) || table.Stats().Names != 2 {
		t.Errorf("part of it is done; %d entries", table.Stats().Names)
	}
	if _, ok := table.Revoke(subjects(start+1, "a", "b", "c")); !ok || table.Stats().Names != 3 {
		t.Errorf("names that are there need no room; %d entries", table.Stats().Names)
	}
	c.pass(time.Hour + 3*time.Second)
	if _, ok := table.Revoke(ids("x", "y", "z")); !ok || table.Stats().Names != 3 {
		t.Errorf("those that have ended make no room; %d entries", table.Stats().Names)
	}
}

func TestRevocationsLastAsLongAsTokens(t *testing.T) {
	table, c := newTable(10, time.Hour)
	table.Revoke(subjects(start-1000, "old"))
	table.Revoke(subjects(start+100, "ahead"))
	table.Revoke(ids("x"))
	table.Raise(start)
	in := func() (got string) {
		for _, g := range []*grant.Grant{user("old", "", start-1000), user("ahead", "", start), user("", "x", start), user("", "", start-1)} {
			got += map[bool]string{true: "1", false: "0"}[table.Has(g)]
		}
		return got
	}
	for _, step := range []struct {
		pass time.Duration
		want string
	}{
		{0, "1111"},
		{time.Hour, "1111"}, // a token of the first second may still be valid
		{2 * time.Second, "0100"},
		{100 * time.Second, "0000"},
	} {
		c.pass(step.pass)
		table.Sweep()
		if got := in(); got != step.want {
			t.Errorf("%v later: %s, want %s", step.pass, got, step.want)
		}
	}
	if table.Stats().Names != 0 || table.Floor() != 0 {
		t.Errorf("%d entries, floor %d", table.Stats().Names, table.Floor())
	}
}

// No change of the clock ends a revocation while one of its tokens can be valid.
func TestTheClockMoves(t *testing.T) {
	for _, c := range []struct {
		what  string
		moves []time.Duration
	}{
		{"forward and back", []time.Duration{48 * time.Hour, -48 * time.Hour}},
		{"back", []time.Duration{-24 * time.Hour}},
		{"back and forward", []time.Duration{-24 * time.Hour, 24 * time.Hour}},
	} {
		table, clock := newTable(10, time.Hour)
		table.Revoke(subjects(start, "ann"))
		table.Restore(ids("x"), start-60)
		table.Raise(start)
		check := func() {
			t.Helper()
			table.Sweep()
			if !table.Has(user("ann", "", start)) || !table.Has(user("", "x", start)) || !table.Has(user("", "", start-1)) {
				t.Errorf("%s: let in: subject %v, ID %v, below the floor %v", c.what,
					!table.Has(user("ann", "", start)), !table.Has(user("", "x", start)), !table.Has(user("", "", start-1)))
			}
		}
		for _, move := range c.moves {
			clock.set(move)
			check()
		}
		clock.pass(58 * time.Minute)
		check()
		clock.pass(25 * time.Hour)
		table.Sweep()
		if table.Stats().Names != 0 || table.Floor() != 0 {
			t.Errorf("%s: %d entries are left, floor %d", c.what, table.Stats().Names, table.Floor())
		}
	}
}

// While the clock is behind, tokens live longer, and so do revocations.
func TestAClockThatStaysBehind(t *testing.T) {
	table, clock := newTable(10, time.Hour)
	table.Revoke(subjects(start, "ann"))
	clock.set(-24 * time.Hour)
	clock.pass(24 * time.Hour) // by the clock the order is being given
	table.Sweep()
	if !table.Has(user("ann", "", start)) {
		t.Error("the token is valid for an hour yet")
	}
}

func TestRestoredOrdersRaiseTheFloorWhereThereIsNoRoom(t *testing.T) {
	table, _ := newTable(2, time.Hour)
	table.Restore(subjects(start-50, "a"), start-50)
	table.Restore(ids("x"), start-40)
	table.Restore(subjects(start-45, "b"), start-30)
	if table.Stats().Names != 2 || table.Stats().Folded != 1 || table.Floor() != start-29 {
		t.Errorf("%d entries, %d folded, floor %d", table.Stats().Names, table.Stats().Folded, table.Floor())
	}
	if !table.Has(user("b", "", start-45)) || !table.Has(user("a", "", start-50)) || !table.Has(user("", "x", start)) {
		t.Error("something is let in")
	}
	if table.Has(user("c", "", start-29)) || !table.IsUnknown(user("c", "", start-30)) || table.IsUnknown(user("c", "", start-29)) {
		t.Error("the floor is elsewhere")
	}
	table.Restore(subjects(start-9000, "gone"), start-9000) // its tokens have expired
	if table.Stats().Folded != 1 || table.Floor() != start-29 {
		t.Errorf("%d folded, floor %d", table.Stats().Folded, table.Floor())
	}
	table.Raise(start - 100)
	if table.Floor() != start-29 {
		t.Errorf("the floor fell to %d", table.Floor())
	}
}

func TestKeepHoldsForWhatIsRevokedAlready(t *testing.T) {
	table, c := newTable(10, time.Hour)
	table.Revoke(ids("x"))
	table.Keep(3 * time.Hour)
	table.Keep(time.Minute) // and back
	c.pass(2 * time.Hour)
	if table.Sweep(); !table.Has(user("", "x", start)) {
		t.Error("it ended after the shorter time")
	}
}

// line is what a plain list says about a name.
type line struct {
	isID         bool
	name         string
	before, last int64
}

func TestTableIsAsAList(t *testing.T) {
	const keep = 60
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, c := newTable(8, keep*time.Second)
		var list []line
		floor := int64(0)
		add := func(names map[string]struct{}, isID bool, before, last int64) {
			for name := range names {
				i := slices.IndexFunc(list, func(l line) bool { return l.isID == isID && l.name == name })
				if i < 0 {
					list, i = append(list, line{isID, name, 0, 0}), len(list)
				}
				list[i].before, list[i].last = max(list[i].before, before), max(list[i].last, last)
			}
		}
		fits := func(o *revoke.Order) bool {
			more := 0
			for _, isID := range []bool{false, true} {
				for name := range map[bool]map[string]struct{}{false: o.Subjects, true: o.IDs}[isID] {
					if !slices.ContainsFunc(list, func(l line) bool { return l.isID == isID && l.name == name }) {
						more++
					}
				}
			}
			return len(list)+more <= 8
		}
		for step := range 300 {
			now := c.at.Unix()
			list = slices.DeleteFunc(list, func(l line) bool { return now-l.last > keep+1 })
			if now-floor > keep+1 {
				floor = 0
			}
			table.Sweep()
			o := &revoke.Order{Subjects: map[string]struct{}{}, IDs: map[string]struct{}{}, Before: now - 20 + int64(r.IntN(25))}
			for range r.IntN(4) {
				name := fmt.Sprint(r.IntN(6))
				if r.IntN(2) == 0 {
					o.Subjects[name] = struct{}{}
				} else {
					o.IDs[name] = struct{}{}
				}
			}
			switch r.IntN(8) {
			case 0, 1, 2:
				c.pass(time.Duration(r.IntN(20)) * time.Second)
			case 3:
				before := now - int64(r.IntN(100))
				table.Raise(before)
				if now-before <= keep+1 {
					floor = max(floor, before)
				}
			case 4:
				given := now - int64(r.IntN(100))
				table.Restore(o, given)
				last := max(given, o.Before)
				switch {
				case now-last > keep+1:
				case fits(o):
					add(o.Subjects, false, o.Before, last)
					add(o.IDs, true, 0, given)
				default:
					floor = max(floor, last+1)
				}
			default:
				want := fits(o)
				if _, got := table.Revoke(o); got != want {
					t.Fatalf("seed %d, step %d: accepted %v, want %v, %d names of %d", seed, step, got, want, o.Len(), len(list))
				}
				if want {
					add(o.Subjects, false, o.Before, max(now, o.Before))
					add(o.IDs, true, 0, now)
				}
			}
			for i := range 6 {
				g := user(fmt.Sprint(i), fmt.Sprint(r.IntN(7)), c.at.Unix()-30+int64(r.IntN(40)))
				want := g.Issued < floor || slices.ContainsFunc(list, func(l line) bool {
					return l.isID && l.name == g.ID || !l.isID && l.name == g.Subject && g.Issued <= l.before
				})
				if got := table.Has(g); got != want {
					t.Fatalf("seed %d, step %d: %+v is revoked: %v, want %v; floor %d, %+v", seed, step, g, got, want, floor, list)
				}
			}
			if table.Stats().Names != len(list) || table.Floor() != floor {
				t.Fatalf("seed %d, step %d: %d entries, floor %d; want %d, %d", seed, step, table.Stats().Names, table.Floor(), len(list), floor)
			}
		}
	}
}

func TestEachVisitsAll(t *testing.T) {
	table, _ := newTable(5000, time.Hour)
	want := map[string]string{}
	for i := range 1500 {
		name := fmt.Sprint(i)
		table.Revoke(subjects(start-int64(i), name))
		table.Revoke(ids(name))
		want["s"+name] = fmt.Sprint(start-i, start)
		want["j"+name] = fmt.Sprint(0, start)
	}
	got := map[string]string{}
	table.Each(func(name string, isID bool, before, last int64) {
		got[map[bool]string{false: "s", true: "j"}[isID]+name] = fmt.Sprint(before, last)
	})
	if !maps.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
}

func TestHasAllocatesNothing(t *testing.T) {
	table, _ := newTable(10, time.Hour)
	o := &revoke.Order{Subjects: set("ann"), Before: start, IDs: set("x")}
	ann, bob := user("ann", "x", start), user("bob", "y", start)
	if n := testing.AllocsPerRun(100, func() { table.Has(ann); table.Has(bob); o.Covers(ann); o.Covers(bob) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	table.Revoke(o)
	if n := testing.AllocsPerRun(100, func() { table.Has(ann); table.Has(bob) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// For the race detector; and a token for which Revoke has returned is refused everywhere.
func TestAnyGoroutineMayAsk(t *testing.T) {
	table := revoke.New(1000, time.Hour, time.Now)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				name := fmt.Sprint(g, "-", i)
				if _, ok := table.Revoke(ids(name)); !ok || !table.Has(user("", name, time.Now().Unix())) {
					t.Errorf("%s is not revoked", name)
				}
				table.Sweep()
				if i%50 == 0 {
					table.Each(func(string, bool, int64, int64) {})
					table.Raise(int64(i))
				}
			}
		})
	}
	all.Wait()
	if table.Stats().Names != 800 {
		t.Errorf("%d entries, want 800", table.Stats().Names)
	}
}

// BenchmarkHas is what each request with a token costs.
func BenchmarkHas(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("revoked=%d", n), func(b *testing.B) {
			table := revoke.New(n, time.Hour, time.Now)
			for i := range n / 2 {
				table.Revoke(subjects(start, fmt.Sprint("user-", i)))
				table.Revoke(ids(fmt.Sprint("token-", i)))
			}
			g := user("somebody", "some-token", time.Now().Unix())
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				table.Has(g)
			}
		})
	}
}
