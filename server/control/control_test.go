package control_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/revoke"
	"peal/server/share"
)

var (
	_ log.Tail  = (*control.Control)(nil)
	_ log.State = (*control.Control)(nil)
)

// lifetime is how long a token can be valid.
const lifetime = time.Hour

var quiet = slog.New(slog.DiscardHandler)

// clock is one that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// server is one life of a server, with the log of all of them.
type server struct {
	*control.Control
	bans    *ban.Table
	revoked *revoke.Table
	clock   *clock
	log     *fakeLog
}

// fakeLog keeps what it accepts, in the form in which it would be stored.
type fakeLog struct {
	tail   log.Tail
	err    error // of Append
	lost   error // of done
	stored [][]byte
}

func (l *fakeLog) Append(batch []*log.Entry, done func(error)) error {
	if l.err != nil {
		return l.err
	}
	if l.lost != nil {
		done(l.lost)
		return nil
	}
	log.Number(batch, uint64(len(l.stored))+1, 1)
	for _, e := range batch {
		l.stored = append(l.stored, log.AppendEntry(nil, e))
	}
	l.tail.Apply(batch)
	l.tail.Wake()
	done(nil)
	return nil
}

func newServer(most int, at *clock, l *fakeLog) *server {
	s := &server{bans: ban.New(most, most, at.now), revoked: revoke.New(most, lifetime, at.now), clock: at, log: l}
	s.Control = control.New(l, s.bans, s.revoked, at.now, quiet)
	l.tail = s.Control
	return s
}

// restart is the next life, with what the log has stored.
func (s *server) restart(t *testing.T) *server {
	t.Helper()
	next := newServer(100, s.clock, s.log)
	for _, b := range s.log.stored {
		e, _, err := log.ParseEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		next.Restore([]*log.Entry{&e})
	}
	return next
}

func (s *server) keepAway(t *testing.T, length time.Duration, clients ...string) (refused []string, err error) {
	t.Helper()
	calls := 0
	refused = s.KeepAway(1, clients, length, func(e error) { calls++; err = e })
	if calls != 1 {
		t.Errorf("done was called %d times", calls)
	}
	return refused, err
}

func (s *server) banned(names string) (got string) {
	for _, name := range strings.Split(names, "") {
		if s.bans.Has([]byte(name)) {
			got += name
		}
	}
	return got
}

func TestOrdersOutliveARestart(t *testing.T) {
	s := newServer(100, &clock{time.Unix(1000, 0)}, &fakeLog{})
	s.keepAway(t, time.Minute, "a", "b")
	s.keepAway(t, time.Hour, "c")
	s.keepAway(t, 0, "b", "x") // the last word holds
	s.keepAway(t, 10*time.Second, "d")
	for _, step := range []struct {
		pass time.Duration
		want string
	}{{0, "acd"}, {10*time.Second + time.Millisecond, "ac"}, {time.Minute, "c"}, {time.Hour, ""}} {
		s.clock.at = s.clock.at.Add(step.pass)
		if got := s.restart(t).banned("abcdx"); got != step.want {
			t.Errorf("after %v: %q, want %q", step.pass, got, step.want)
		}
	}
	s.clock.at = time.Unix(0, 0).Add(-40 * 24 * time.Hour) // the clock was set back
	again := s.restart(t)
	s.clock.at = s.clock.at.Add(ban.Longest)
	if got := again.banned("abcdx"); got != "" {
		t.Errorf("longer than the longest: %q", got)
	}
}

// An order takes effect even if the log refuses it, and done reports the refusal.
func TestAnOrderTheLogRefusesHoldsUntilARestart(t *testing.T) {
	for _, l := range []*fakeLog{{err: log.ErrStorage}, {lost: log.ErrStorage}} {
		s := newServer(100, &clock{time.Unix(1000, 0)}, l)
		if _, err := s.keepAway(t, time.Minute, "a"); !errors.Is(err, log.ErrStorage) {
			t.Errorf("%v, want %v", err, log.ErrStorage)
		}
		if got := s.banned("a"); got != "a" {
			t.Error("it has no effect")
		}
		if got := s.restart(t).banned("a"); got != "" {
			t.Error("it is stored")
		}
	}
}

func TestThoseWithoutRoomAreNotStored(t *testing.T) {
	s := newServer(2, &clock{time.Unix(1000, 0)}, &fakeLog{})
	refused, err := s.keepAway(t, time.Minute, "a", "b", "c")
	if err != nil || !slices.Equal(refused, []string{"c"}) {
		t.Errorf("refused %q, %v", refused, err)
	}
	if refused, err = s.keepAway(t, time.Minute, "d"); err != nil || len(refused) != 1 || len(s.log.stored) != 1 {
		t.Errorf("refused %q, %v, %d entries", refused, err, len(s.log.stored))
	}
	if got := s.restart(t).banned("abcd"); got != "ab" {
		t.Errorf("%q, want ab", got)
	}
}

// slowLog keeps what was appended until the test brings it.
type slowLog struct {
	entries []*log.Entry
	done    []func(error)
}

func (l *slowLog) Append(batch []*log.Entry, done func(error)) error {
	l.entries, l.done = append(l.entries, batch...), append(l.done, done)
	return nil
}

// Two nodes that order different things at once agree in the end: on what is last in
// the log. A node's own orders have had their effect, and must not undo what it has
// ordered since, nor be undone by what is before them in the log.
func TestNodesAgreeOnTheLastOrderInTheLog(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	type node struct {
		*control.Control
		bans *ban.Table
		log  *slowLog
	}
	var nodes [2]node
	for i := range nodes {
		l, bans := &slowLog{}, ban.New(100, 100, at.now)
		nodes[i] = node{control.New(l, bans, revoke.New(1, lifetime, at.now), at.now, quiet), bans, l}
	}
	steps := 0
	bring := func(from int, err error, want string) { // the next entry of that node
		t.Helper()
		steps++
		l := nodes[from].log
		e, done := l.entries[0], l.done[0]
		l.entries, l.done = l.entries[1:], l.done[1:]
		if err != nil {
			done(err)
		}
		for _, n := range nodes {
			n.Apply([]*log.Entry{e})
		}
		if err == nil {
			done(nil)
		}
		got := ""
		for _, n := range nodes {
			got += map[bool]string{true: "a", false: "-"}[n.bans.Has([]byte("a"))]
		}
		if got != want {
			t.Errorf("step %d: %s, want %s", steps, got, want)
		}
	}
	order := func(by int, length time.Duration) {
		nodes[by].KeepAway(1, []string{"a"}, length, func(error) {})
	}
	order(0, time.Minute)
	order(1, 0)
	bring(1, nil, "a-") // the order of node 0 is to come
	bring(0, nil, "aa")
	order(0, time.Hour)
	order(0, 0)
	order(1, time.Minute)
	bring(0, nil, "-a")
	bring(1, nil, "-a")
	bring(0, nil, "--")
	order(0, time.Minute)
	order(1, 0)
	bring(0, log.ErrUnavailable, "a-") // and it is in the log all the same
	bring(1, nil, "--")
}

// What is no order, or one of a later version, changes nothing.
func TestOnlyTheOrdersOfOthersAreFollowed(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	one, other := newServer(100, at, &fakeLog{}), newServer(100, at, &fakeLog{})
	one.keepAway(t, time.Minute, "a")
	e, _, err := log.ParseEntry(one.log.stored[0])
	if err != nil {
		t.Fatal(err)
	}
	other.Apply([]*log.Entry{&e})
	if other.banned("a") != "a" {
		t.Errorf("%q, want a", other.banned("a"))
	}
	for _, data := range []string{"", "x", "\x02" + string(e.Data[1:]), string(e.Data) + "\x09z"} {
		other.Apply([]*log.Entry{{Kind: log.KindControl, Event: "disconnect", Data: []byte(data)}})
	}
	other.Apply([]*log.Entry{{Kind: log.KindControl, Event: "something", Data: e.Data}})
	other.Apply([]*log.Entry{{Kind: log.KindPublication, Event: "disconnect", Data: e.Data}})
	if other.banned("az") != "a" {
		t.Errorf("%q", other.banned("az"))
	}
}

// The order of orders in the table is that in the log, whoever gives them.
func TestARestartEndsWhereTheServerWas(t *testing.T) {
	bans := ban.New(1000, 1000, time.Now)
	l := memory.Open(time.Now)
	kept := &keeper{}
	c := control.New(l, bans, revoke.New(1, lifetime, time.Now), time.Now, quiet)
	l.Start(log.Tails{kept, c}, nil)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 500 {
				length := time.Hour * time.Duration(r.IntN(2))
				c.KeepAway(share.Key(g), []string{fmt.Sprint(r.IntN(5)), "x" + fmt.Sprint(r.IntN(5))}, length, func(error) {})
			}
		})
	}
	all.Wait()
	again := ban.New(1000, 1000, time.Now)
	control.New(l, again, revoke.New(1, lifetime, time.Now), time.Now, quiet).Restore(kept.entries)
	for i := range 5 {
		for _, name := range []string{fmt.Sprint(i), "x" + fmt.Sprint(i)} {
			if was, is := bans.Has([]byte(name)), again.Has([]byte(name)); was != is {
				t.Errorf("%s: banned %v, after a restart %v", name, was, is)
			}
		}
	}
}

// keeper is a tail that keeps all.
type keeper struct{ entries []*log.Entry }

func (*keeper) Room(int, int) bool         { return true }
func (*keeper) Wake()                      {}
func (k *keeper) Apply(batch []*log.Entry) { k.entries = append(k.entries, batch...) }

func TestTheStateIsAllBansInForce(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	s := newServer(3000, at, &fakeLog{})
	if state := s.Save(); len(state) != 0 {
		t.Errorf("%q of nothing", state)
	}
	for i := range 2000 {
		s.keepAway(t, time.Duration(1+i%2)*time.Minute, fmt.Sprint(i))
	}
	at.at = at.at.Add(61 * time.Second)
	state := s.Save()
	again := newServer(3000, at, &fakeLog{})
	if err := again.Load(state, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if got := again.bans.Has([]byte(fmt.Sprint(i))); got != (i%2 == 1) {
			t.Errorf("%d: %v", i, got)
		}
	}
	at.at = at.at.Add(time.Minute)
	if again.bans.Sweep(); again.bans.Len() != 0 {
		t.Errorf("%d do not end when they would", again.bans.Len())
	}
	// Cut short anywhere it is an error, unless a name ends there, and never a panic.
	short := 0
	for n := range min(len(state), 500) {
		if newServer(3000, at, &fakeLog{}).Load(state[:n], 0) != nil {
			short++
		}
	}
	if short < 400 || again.Load([]byte("\x03"), 0) == nil || again.Load(nil, 0) != nil {
		t.Errorf("%d of 500 prefixes are errors", short)
	}
}
