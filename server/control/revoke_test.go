package control_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/ban"
	"peal/server/control"
	"peal/server/grant"
	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/revoke"
)

func names(text string) map[string]struct{} {
	all := map[string]struct{}{}
	for _, name := range strings.Fields(text) {
		all[name] = struct{}{}
	}
	return all
}

// revoke revokes the tokens of subjects that were issued up to before, and those with
// the IDs.
func (s *server) revoke(t *testing.T, subjects string, before int64, ids string) (ok bool, err error) {
	t.Helper()
	calls := 0
	ok = s.Revoke(&revoke.Order{Subjects: names(subjects), Before: before, IDs: names(ids)}, func(e error) { calls++; err = e })
	if (calls == 1) != ok {
		t.Errorf("done was called %d times, accepted %v", calls, ok)
	}
	return ok, err
}

// refused are the tokens that are refused: sub, a slash and the second in which the
// token was issued, or jti.
func (s *server) refused(tokens string) string {
	var got []string
	for _, text := range strings.Fields(tokens) {
		g := &grant.Grant{Kind: grant.User, ID: text, Issued: s.clock.at.Unix()}
		if sub, issued, ok := strings.Cut(text, "/"); ok {
			g.Subject, g.ID = sub, ""
			fmt.Sscan(issued, &g.Issued)
		}
		if s.revoked.Has(g) {
			got = append(got, text)
		}
	}
	return strings.Join(got, " ")
}

func TestRevocationsOutliveARestart(t *testing.T) {
	at := &clock{time.Unix(10_000, 0)}
	s := newServer(100, at, &fakeLog{})
	s.revoke(t, "ann bob", 10_000, "x")
	at.at = at.at.Add(10 * time.Minute)
	s.revoke(t, "bob", 9_000, "y") // an older moment changes nothing
	const tokens = "ann/9999 ann/10000 ann/10001 bob/9000 bob/10000 cid/1 x y z"
	for _, step := range []struct {
		pass time.Duration
		want string
	}{
		{0, "ann/9999 ann/10000 bob/9000 bob/10000 x y"},
		{50 * time.Minute, "ann/9999 ann/10000 bob/9000 bob/10000 x y"}, // a token of the last second is still valid
		{2 * time.Second, "bob/9000 y"},                                 // what the first order is about has expired
		{10 * time.Minute, ""},
	} {
		at.at = at.at.Add(step.pass)
		if got := s.restart(t).refused(tokens); got != step.want {
			t.Errorf("at %d: %q, want %q", at.at.Unix(), got, step.want)
		}
	}
}

// A revocation takes effect even if the log refuses it, and done reports the refusal.
func TestARevocationTheLogRefusesHoldsUntilARestart(t *testing.T) {
	for _, l := range []*fakeLog{{err: log.ErrFull}, {lost: log.ErrStorage}} {
		s := newServer(100, &clock{time.Unix(10_000, 0)}, l)
		ok, err := s.revoke(t, "ann", 10_000, "")
		if !ok || err == nil || err != l.err && err != l.lost {
			t.Errorf("accepted %v, %v", ok, err)
		}
		if got := s.refused("ann/10000"); got == "" {
			t.Error("it has no effect")
		}
		if got := s.restart(t).refused("ann/10000"); got != "" {
			t.Error("it is stored")
		}
	}
}

func TestARevocationWithoutRoomIsNotStored(t *testing.T) {
	s := newServer(2, &clock{time.Unix(10_000, 0)}, &fakeLog{})
	if ok, _ := s.revoke(t, "a b c", 10_000, ""); ok || len(s.log.stored) != 0 || s.refused("a/1 b/1 c/1") != "" {
		t.Errorf("accepted %v, %d entries, refused %q", ok, len(s.log.stored), s.refused("a/1 b/1 c/1"))
	}
}

// A restart with less room than the orders need refuses all tokens that could be meant.
func TestARestartWithLessRoom(t *testing.T) {
	at := &clock{time.Unix(10_000, 0)}
	s := newServer(1000, at, &fakeLog{})
	for i := range 101 {
		s.revoke(t, "", 0, fmt.Sprint("x", i))
		at.at = at.at.Add(time.Second)
	}
	next := s.restart(t) // which has room for 100
	if next.refused("x0") == "" || next.refused("x99") == "" || next.refused("cid/10100 cid/10101") != "cid/10100" || next.revoked.Stats().Folded != 1 {
		t.Errorf("refused %q, %d folded", next.refused("x0 x99 cid/10100 cid/10101"), next.revoked.Stats().Folded)
	}
}

func TestRevocationsOfOthersAreFollowed(t *testing.T) {
	at := &clock{time.Unix(10_000, 0)}
	one, other := newServer(100, at, &fakeLog{}), newServer(100, at, &fakeLog{})
	one.revoke(t, "ann", 10_000, "x")
	e, _, err := log.ParseEntry(one.log.stored[0])
	if err != nil {
		t.Fatal(err)
	}
	other.Apply([]*log.Entry{&e})
	if got := other.refused("ann/10000 ann/10001 x bob/1"); got != "ann/10000 x" {
		t.Errorf("%q", got)
	}
	// One that is damaged, or of a later version, may be about any token of before.
	for _, data := range []string{"", "x", "\x02" + string(e.Data[1:]), string(e.Data) + "\x02\x09z", string(e.Data) + "\x01\x01z"} {
		s := newServer(100, at, &fakeLog{})
		s.Apply([]*log.Entry{{Kind: log.KindControl, Event: "revoke", Data: []byte(data)}})
		if got := s.refused("bob/9999 bob/10000"); got != "bob/9999" {
			t.Errorf("%q: refused %q", data, got)
		}
	}
	s := newServer(100, at, &fakeLog{})
	s.Apply([]*log.Entry{{Kind: log.KindControl, Event: "something", Data: e.Data}, {Kind: log.KindPublication, Event: "revoke", Data: e.Data}})
	if got := s.refused("ann/1 x"); got != "" {
		t.Errorf("refused %q", got)
	}
}

func TestTheStateHasAllRevocationsInForce(t *testing.T) {
	at := &clock{time.Unix(10_000, 0)}
	s := newServer(5000, at, &fakeLog{})
	want := ""
	for i := range 1000 {
		s.keepAway(t, time.Hour, fmt.Sprint("c", i))
		s.revoke(t, fmt.Sprint("s", i), 9_000+int64(i), fmt.Sprint("j", i))
		want += fmt.Sprintf("s%d/%d j%d ", i, 9_000+i, i)
	}
	s.Lost("for the test") // at 10,000
	state := s.Save()
	again := newServer(5000, at, &fakeLog{})
	if err := again.Load(state, 0); err != nil {
		t.Fatal(err)
	}
	if got := again.refused(want); got != strings.TrimSpace(want) || again.bans.Len() != 1000 {
		t.Errorf("%d of %d names are revoked, %d bans", len(strings.Fields(got)), 2000, again.bans.Len())
	}
	if got := again.refused("bob/9999 bob/10000 s5/9999"); got != "bob/9999 s5/9999" || again.Missing() != "" {
		t.Errorf("refused %q, missing %q", got, again.Missing())
	}
	at.at = at.at.Add(lifetime + 2*time.Second)
	again.revoked.Sweep()
	if again.revoked.Stats().Names != 0 || again.revoked.Floor() != 0 {
		t.Errorf("%d names do not end when they would, floor %d", again.revoked.Stats().Names, again.revoked.Floor())
	}
	// Cut short anywhere it is an error, unless a name ends there, and never a panic.
	short := 0
	for n := range 1000 {
		if newServer(3000, at, &fakeLog{}).Load(state[:n], 0) != nil {
			short++
		}
	}
	if short < 900 {
		t.Errorf("%d of 1000 prefixes are errors", short)
	}
}

// A start that cannot know what was revoked refuses all tokens of before, and so do
// those after it.
func TestAStartWithoutTheWholeStateRefusesEarlierTokens(t *testing.T) {
	at := &clock{time.Unix(10_000, 0)}
	s := newServer(100, at, &fakeLog{})
	s.Lost("the log is new")
	if got := s.refused("ann/9999 ann/10000 ann/0"); got != "ann/9999 ann/0" || s.Missing() != "the log is new" {
		t.Errorf("refused %q, missing %q", got, s.Missing())
	}
	state := s.Save()
	at.at = at.at.Add(time.Minute)
	next := newServer(100, at, &fakeLog{})
	if err := next.Load(state, 0); err != nil {
		t.Fatal(err)
	}
	if got := next.refused("ann/9999 ann/10000"); got != "ann/9999" || next.Missing() != "" {
		t.Errorf("refused %q, missing %q", got, next.Missing())
	}
}

func decodeHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Later versions must read what this one writes.
func TestStateAndOrdersOnTheDisk(t *testing.T) {
	s := newServer(100, &clock{time.Unix(10_000, 0)}, &fakeLog{})
	state := decodeHex(t, "02 2823000000000000"+ // the floor: 9,000
		"01 03 616e6e e180990000000000"+ // the client ann until 10,060,001 ms
		"02 03 626f62 8025000000000000 1c25000000000000"+ // the sub bob: up to 9,500, ordered at 9,600
		"03 01 78 e425000000000000") // the jti x, ordered at 9,700
	if err := s.Load(state, 0); err != nil {
		t.Fatal(err)
	}
	if got := s.refused("ann/8999 ann/9000 bob/9500 bob/9501 x"); got != "ann/8999 bob/9500 x" || s.banned("a") != "" || !s.bans.Has([]byte("ann")) {
		t.Errorf("refused %q", got)
	}
	if got := s.Save(); !bytes.Equal(got, state) {
		t.Errorf("saved again it is %x, want %x", got, state)
	}
	order := decodeHex(t, "01 0807060504030201 8025000000000000 1c25000000000000 02 03 626f62 03 01 78") // given at 9,600: bob up to 9,500, and x
	s = newServer(100, &clock{time.Unix(10_000, 0)}, &fakeLog{})
	s.Restore([]*log.Entry{{Sequence: 1, Kind: log.KindControl, Event: "revoke", Data: order}})
	if got := s.refused("bob/9500 bob/9501 x y"); got != "bob/9500 x" {
		t.Errorf("refused %q", got)
	}
}

// What the version before this one has written is read: a state of version 1, and its orders.
func TestStateAndOrdersOfBeforeRevocations(t *testing.T) {
	decode := func(text string) []byte { return decodeHex(t, text) }
	s := newServer(100, &clock{time.Unix(1000, 0)}, &fakeLog{})
	if err := s.Load(decode("01 a12d100000000000 03 616e6e b92c100000000000 03 626f62"), 5); err != nil { // ann until 1,060,257 ms, bob until 1,060,025
		t.Fatal(err)
	}
	s.Restore([]*log.Entry{
		{Sequence: 5, Kind: log.KindControl, Event: "disconnect", Data: decode("01 0807060504030201 0000000000000000 03 616e6e")}, // in the state
		{Sequence: 6, Kind: log.KindControl, Event: "disconnect", Data: decode("01 0807060504030201 a12d100000000000 03 636964 03 64616e")},
		{Sequence: 7, Kind: log.KindControl, Event: "disconnect", Data: decode("01 0807060504030201 0000000000000000 03 64616e")},
	})
	var got []string
	for _, client := range []string{"ann", "bob", "cid", "dan"} {
		if s.bans.Has([]byte(client)) {
			got = append(got, client)
		}
	}
	if strings.Join(got, " ") != "ann bob cid" {
		t.Errorf("kept away %q", got)
	}
	s.clock.at = time.Unix(1060, 100_000_000)
	if s.bans.Has([]byte("bob")) || !s.bans.Has([]byte("ann")) {
		t.Error("they end at another moment")
	}
}

// The order of orders in the table is that in the log, whoever gives them.
func TestARestartHasTheRevocationsOfAllGoroutines(t *testing.T) {
	clock := time.Now
	revoked := revoke.New(1000, lifetime, clock)
	l := memory.Open(clock)
	kept := &keeper{}
	c := control.New(l, ban.New(1, 1, clock), revoked, clock, quiet)
	if err := l.Start(log.Tails{kept, c}, nil); err != nil {
		t.Fatal(err)
	}
	now := clock().Unix()
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 500 {
				c.Revoke(&revoke.Order{Subjects: names(fmt.Sprint(r.IntN(5))), Before: now - int64(r.IntN(100)), IDs: names(fmt.Sprint(r.IntN(100)))}, func(error) {})
			}
		})
	}
	all.Wait()
	again := revoke.New(1000, lifetime, clock)
	control.New(l, ban.New(1, 1, clock), again, clock, quiet).Restore(kept.entries)
	state := func(t *revoke.Table) map[string]int64 {
		all := map[string]int64{}
		t.Each(func(name string, isID bool, before, _ int64) { all[fmt.Sprint(name, isID)] = before })
		return all
	}
	if was, is := fmt.Sprint(state(revoked)), fmt.Sprint(state(again)); was != is {
		t.Errorf("it was\n%s, and after a restart it is\n%s", was, is)
	}
}
