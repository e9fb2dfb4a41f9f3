package loop_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// NameOf implements loop.Namer.
func (f front) NameOf(session uint64) string { return fmt.Sprint("client of ", session) }

// walk returns what one walk finds.
func (s *server) walk(w loop.Walk) (found []loop.Seen, next loop.Place, more bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, next, more, err := s.group.Walk(ctx, w)
	if err != nil {
		s.t.Fatalf("walk: %v", err)
	}
	return found, next, more
}

// all is what walks find, page after page.
func (s *server) all(w loop.Walk) (all []loop.Seen) {
	s.t.Helper()
	for more := true; more; {
		var found []loop.Seen
		found, w.From, more = s.walk(w)
		if len(found) > w.Limit {
			s.t.Fatalf("%d found, at most %d were asked for", len(found), w.Limit)
		}
		all = append(all, found...)
	}
	return all
}

func TestWalkSeesWhatConnectionsAre(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	raw, stream, poll, between, half := s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
	raw.ws("wsraw", "a,b,c now publish named")
	s.publish("c", "one")
	raw.expectFrame(opText, "one")
	stream.sse("a first")
	poll.send("poll a,z now 60\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	between.send("echo x\n")
	between.expect("x")
	half.send("body 5\n12")
	half.expect("continue")

	seen := s.all(loop.Walk{Limit: 1000, Names: 2, Tell: func(_ loop.Front, c *loop.Seen) { c.About = c.Session }})
	if len(seen) != 5 {
		t.Fatalf("%d found", len(seen))
	}
	for i, want := range []string{
		"websocket open [a b] of 3 at 1 of 1 caught up true",
		"sse open [a] of 1 at 1 of 1 caught up true",
		"poll open [a z] of 2 at 1 of 1 caught up true",
		"http idle [] of 0 at 0 of 0 caught up true",
		"http sending a request [] of 0 at 0 of 0 caught up true",
	} {
		c := seen[i]
		if c.Standing.Newest < c.Standing.Position { // of views that nothing has come for
			c.Standing.Newest = c.Standing.Position
		}
		if got := fmt.Sprintf("%s %s %v of %d at %d of %d caught up %v", c.Transport, c.State, c.Channels, c.Width, c.Standing.Position, c.Standing.Newest, c.Standing.CaughtUp); got != want {
			t.Errorf("connection %d: %s, want %s", i, got, want)
		}
		if c.Age < 0 || c.Age > patience || c.Silent > patience || c.About != c.Session || c.Place.Slot != uint32(i) || !c.Peer.IsValid() || c.Secure != everythingOverTLS {
			t.Errorf("connection %d: %+v", i, c)
		}
	}
	if c := seen[4]; c.Input != len("body 5\n12") {
		t.Errorf("%d bytes of input", c.Input)
	}
}

func TestWalkLooksFor(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 2}})
	for i := range 12 {
		c := s.dialFrom(fmt.Sprintf("127.0.0.%d", 2+i%3), 0)
		words := fmt.Sprintf("all,even%d,own%02d now", i%2, i)
		if i < 4 {
			words += " named"
		}
		c.sse(words)
	}
	lone := s.dial()
	lone.sse("all now")
	count := func(want int, w loop.Walk) []loop.Seen {
		t.Helper()
		w.Limit = 2
		found := s.all(w)
		if len(found) != want {
			t.Errorf("%d found, want %d", len(found), want)
		}
		return found
	}
	all := count(13, loop.Walk{})
	count(13, loop.Walk{Channel: "all"})
	count(6, loop.Walk{Channel: "even1"})
	count(1, loop.Walk{Channel: "own07"})
	count(0, loop.Walk{Channel: "own"})
	count(4, loop.Walk{Address: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.3") }})
	count(4, loop.Walk{Pick: func(loop.Front, uint64) bool { return true }})
	picked := all[5].Session
	if found := count(1, loop.Walk{Session: picked}); len(found) == 1 && found[0].Session != picked {
		t.Errorf("session %d, want %d", found[0].Session, picked)
	}
	count(0, loop.Walk{Session: picked + 1<<40})
	count(2, loop.Walk{Channel: "even0", Pick: func(loop.Front, uint64) bool { return true }})
}

// A connection that is open for the whole time is found once, whatever begins and ends
// between the pages.
func TestWalkFindsEachConnectionOnceUnderChange(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 2}})
	var leaving []*client
	for i := range 60 {
		c := s.dial()
		c.sse(fmt.Sprintf("stays%d now", i%2))
		if i%3 == 0 {
			leaving = append(leaving, c)
		}
	}
	stay := map[uint64]int{}
	for _, c := range s.all(loop.Walk{Limit: 1000}) {
		stay[c.Session] = 0
	}
	w, more := loop.Walk{Limit: 3}, true
	for more {
		var found []loop.Seen
		found, w.From, more = s.walk(w)
		for _, c := range found {
			if _, ok := stay[c.Session]; ok {
				stay[c.Session]++
			}
		}
		if len(leaving) > 0 {
			before := s.sum(connections)
			leaving[0].Close()
			leaving = leaving[1:]
			s.await("it has gone", func() bool { return s.sum(connections) < before })
			s.dial().sse("new now")
		}
	}
	still := map[uint64]bool{}
	for _, c := range s.all(loop.Walk{Limit: 1000}) {
		still[c.Session] = true
	}
	found := 0
	for session, n := range stay {
		if n > 1 || still[session] && n != 1 {
			t.Errorf("session %d was found %d times", session, n)
		}
		found += n
	}
	if found < 40 {
		t.Errorf("%d were found", found)
	}
}

// Slots are counted, and not time: a step of any walk visits so many at most.
func TestWalkVisitsABoundedNumberInAStep(t *testing.T) {
	if steps := loop.WalkSteps(100_000)(); steps != (100_000+loop.WalkLooks-1)/loop.WalkLooks {
		t.Errorf("%d steps for 100,000 connections", steps)
	}
	s := start(t, options{config: loop.Config{Loops: 1}})
	for range loop.WalkFinds + 10 {
		s.dial().sse("a now")
	}
	if found, next := s.group.WalkStep(0, 0, 1000); found != loop.WalkFinds || next != loop.WalkFinds {
		t.Errorf("one step describes %d connections up to slot %d, want %d", found, next, loop.WalkFinds)
	}
	if found, next := s.group.WalkStep(0, loop.WalkFinds, 1000); found != 10 || next != loop.WalkFinds+10 {
		t.Errorf("the next step describes %d connections up to slot %d", found, next)
	}
	if found, _ := s.group.WalkStep(0, 0, 7); found != 7 {
		t.Errorf("%d are described where 7 are wanted", found)
	}
	if found, next := s.group.WalkStep(0, 1<<31, 7); found != 0 || next != 1<<31 {
		t.Errorf("behind the last slot: %d up to %d", found, next)
	}
}

func TestWalksAreLimited(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1}}) // nothing runs yet
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error, loop.MaxWalks)
	for range loop.MaxWalks {
		go func() { // ends below
			_, _, _, err := s.group.Walk(ctx, loop.Walk{})
			results <- err
		}()
	}
	s.await("all walks are under way", func() bool { return s.group.Walks() == loop.MaxWalks })
	bounded, end := context.WithTimeout(ctx, patience)
	defer end()
	if _, _, _, err := s.group.Walk(bounded, loop.Walk{}); !errors.Is(err, loop.ErrWalks) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	for range loop.MaxWalks {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("a walk that nobody waits for ends with %v", err)
		}
	}
	s.run()
	if found, _, more := s.walk(loop.Walk{}); len(found) != 0 || more { // what was left behind is done with
		t.Errorf("%d found, more %v", len(found), more)
	}
}

// A slow client stands behind, and what waits for it is seen.
func TestWalkSeesHowFarBehindAClientIs(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, sendBuffer: 4 << 10})
	slow, quick := s.dialWith(4<<10), s.dial()
	slow.ws("wsraw", "a now")
	quick.ws("wsraw", "a now")
	message := strings.Repeat("message ", 128<<10)
	for range 3 {
		s.publish("a", message)
		quick.expectFrame(opText, message)
	}
	var seen []loop.Seen
	s.await("it is behind", func() bool {
		seen = s.all(loop.Walk{Limit: 10})
		return seen[0].Standing.Stalled && seen[1].Standing.CaughtUp
	})
	at := seen[0].Standing
	if at.CaughtUp || !at.Slow || at.Position >= at.Newest || at.Newest != 3 || at.Half == 0 {
		t.Errorf("the slow one: %+v", at)
	}
	if behind := s.all(loop.Walk{Limit: 10, Behind: true}); len(behind) != 1 || behind[0].Session != seen[0].Session {
		t.Errorf("those that are behind: %+v", behind)
	}
	if at := seen[1].Standing; at.Stalled || at.Position != 3 || at.Half != 0 {
		t.Errorf("the quick one: %+v", at)
	}
	if !everythingOverTLS {
		if sent := seen[1].Traffic.Sent; sent < 3*uint64(len(message)) {
			t.Errorf("%d bytes were sent to the quick one, by its kernel", sent)
		}
		if !seen[0].Traffic.Known || seen[0].Traffic.Sent >= seen[1].Traffic.Sent {
			t.Errorf("%+v, and of the other %+v", seen[0].Traffic, seen[1].Traffic)
		}
	}
}

func TestEndEndsAnyConnection(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 2}})
	socket, stream, poll, between := s.dial(), s.dial(), s.dial(), s.dial()
	socket.ws("wsraw", "ws now")
	stream.sse("sse now")
	poll.send("poll poll now 60\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	between.send("echo x\n")
	between.expect("x")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	end := func(w loop.Walk) {
		t.Helper()
		w.Limit = 10
		found := s.all(w)
		if len(found) != 1 {
			t.Fatalf("%d found", len(found))
		}
		if ended, err := s.group.End(ctx, found[0].Session, over); !ended || err != nil {
			t.Errorf("ended %v, error %v", ended, err)
		}
	}
	end(loop.Walk{Channel: "ws"})
	socket.expectDismissed()
	end(loop.Walk{Channel: "sse"})
	stream.expect("bye")
	stream.expectEnd()
	end(loop.Walk{Channel: "poll"})
	poll.expect("dismissed close=true")
	poll.expectEnd()
	s.awaitConnections(1)
	end(loop.Walk{})
	s.awaitConnections(0)
	if ended, err := s.group.End(ctx, 12345<<8, over); ended || err != nil {
		t.Errorf("a session that is not there: ended %v, error %v", ended, err)
	}
}

// ends waits until so many ends are remembered, and returns them.
func (s *server) ends(n int) (all []loop.Ended) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d ends are remembered", n), func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		if all, err = s.group.Ends(ctx, nil); err != nil {
			s.t.Fatal(err)
		}
		return len(all) >= n
	})
	return all
}

func TestEndsAreRemembered(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	said := func(want string) {
		t.Helper()
		all := s.ends(1)
		e := all[0]
		if got := fmt.Sprintf("%s %d %s", e.Transport, e.Code, e.Reason); got != want || !e.Peer.IsValid() || e.Session == 0 || e.Ago < 0 {
			t.Errorf("%q, want %q: %+v", got, want, e)
		}
		n := len(all)
		s.awaitConnections(0)
		if all = s.ends(n); len(all) != n {
			t.Errorf("one end is remembered as %d: %+v", len(all)-n+1, all)
		}
	}
	c := s.dial()
	c.ws("wsraw", "a now publish")
	c.sendFrame(opText, "throw me out")
	c.expectClose(4410)
	said("websocket 4410 as you wish")

	c = s.dial()
	c.ws("wsraw", "a now")
	c.sendFrame(opClose, closePayload(1001, "bye"))
	c.expectFrame(opClose, closePayload(1001, ""))
	c.expectEnd()
	said("websocket 1001 the client closed it")

	c = s.dial()
	c.sse("a now")
	c.halfClose()
	c.expectEnd()
	said("sse 0 the client closed it")

	c = s.dial()
	c.ws("wsraw", "a now named")
	s.dismiss(everybody)
	c.expectDismissed()
	said("websocket 4410 disconnected: by the test")
	if e := s.ends(1)[0]; e.Name != fmt.Sprint("client of ", e.Session) {
		t.Errorf("its name is %q", e.Name)
	}

	c = s.dial()
	c.send("poll a now 60 named\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	s.dismiss(everybody)
	c.expect("dismissed close=true")
	c.expectEnd()
	said("poll 4410 disconnected: by the test")

	if !everythingOverTLS {
		c = s.dial()
		c.ws("wsraw", "a now")
		c.reset()
		said("websocket 0 the connection was lost or reset")
	}

	for i := range loop.MostEnds + 20 {
		c := s.dial()
		c.ws("wsraw", "a now publish")
		c.sendFrame(opText, fmt.Sprint("close 4400 number ", i))
		c.expectClose(4400)
	}
	all := s.ends(loop.MostEnds)
	if len(all) != loop.MostEnds || all[0].Reason != fmt.Sprint("number ", loop.MostEnds+19) || all[len(all)-1].Reason != "number 20" {
		t.Errorf("%d are remembered, from %q to %q", len(all), all[0].Reason, all[len(all)-1].Reason)
	}
}

func TestGapsAreRememberedByReason(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, keep: 2})
	for range 5 {
		s.publish("a", "x")
	}
	foreign, late, poll, raw := s.dial(), s.dial(), s.dial(), s.dial()
	foreign.send("sse a foreign\n")
	foreign.expect("stream", "gap a 0 3", "open 3", "m 4 a x", "m 5 a x")
	late.send("sse a 1\n")
	late.expect("stream", "open 1", "gap a 1 3", "m 4 a x", "m 5 a x")
	poll.send("poll a foreign 60\n")
	poll.expect("poll 5 1 2", "gap a 0 3", "m 4 a x", "m 5 a x")
	raw.ws("wsraw", "a 1")
	raw.expectClose(4409)
	want := map[string]int{"history": 2, "unknown_cursor": 2, "slow_consumer": 0}
	for reason, n := range want {
		if got := s.sum(func(l loop.Stats) int { return int(l.Gaps[reason]) }); got != n {
			t.Errorf("%d gaps for %s, want %d", got, reason, n)
		}
	}
	if n := s.sum(func(l loop.Stats) int { return int(l.Fanout.Gaps + l.Foreign) }); n != 4 {
		t.Errorf("%d gaps in all", n)
	}
	found := s.all(loop.Walk{Channel: "a", Limit: 10})
	reasons := []string{}
	for _, c := range found {
		if c.Gap == nil {
			t.Fatalf("no gap is remembered of %+v", c)
		}
		reasons = append(reasons, fmt.Sprintf("%s %d", c.Gap.Reason, c.Gap.To))
	}
	if !slices.Equal(reasons, []string{"unknown_cursor 3", "history 3"}) {
		t.Errorf("%q", reasons)
	}
}

func TestTalkersAreCountedWhileSomebodyAsks(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	loud, quiet, asker := s.dial(), s.dial(), s.dial()
	loud.ws("wsraw", "a now publish named")
	quiet.ws("wsraw", "b now publish")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ask := func() []loop.Talker {
		t.Helper()
		all, _, err := s.group.Talkers(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	spoken := func(loudly, quietly int) {
		t.Helper()
		before := s.received.Load()
		for range loudly {
			loud.sendFrame(opText, "#loud")
		}
		for range quietly {
			quiet.sendFrame(opText, "#quiet")
		}
		s.await("all was received", func() bool { return s.received.Load() == before+int64(loudly+quietly) })
	}
	spoken(2, 3)
	if all := ask(); len(all) != 0 {
		t.Errorf("counted before anybody asked: %+v", all)
	}
	spoken(5, 1)
	asker.send("echo x\n")
	asker.expect("x")
	all := ask()
	if len(all) != 2 || all[0].Messages != 5 || all[0].Bytes != 25 || all[0].Name == "" || all[1].Messages != 1 || all[1].Name != "" {
		t.Fatalf("%+v", all)
	}
	spoken(0, 4)
	if all = ask(); len(all) != 1 || all[0].Messages != 4 || all[0].Bytes != 24 {
		t.Errorf("since the last question: %+v", all)
	}
	s.group.Age(0, 20*time.Second)
	spoken(1, 1)
	if s.group.Talking(0) {
		t.Error("it still counts though nobody has asked for 20 seconds")
	}
}

// A connection has no time of its own: its age comes from its number. However long a loop
// runs, it remembers a bounded number of times, and what it says is precise to 2 %.
func TestAgesArePreciseAndBounded(t *testing.T) {
	const days = 20
	for _, at := range []time.Duration{10 * time.Second, 10 * time.Minute, 5 * time.Hour, days * 24 * time.Hour} {
		seconds := uint32(at / time.Second)
		age, kept := loop.Ages(seconds)
		if kept > loop.MostBirths {
			t.Errorf("%v: %d times are kept", at, kept)
		}
		for _, then := range []uint32{0, 1, seconds / 3, seconds / 2, seconds - seconds/10, seconds - 5, seconds - 1} {
			want := time.Duration(seconds-then) * time.Second
			if got := age(then); got < want || got > want+time.Second+want/50 {
				t.Errorf("after %v, a connection of %v ago: %v", at, want, got)
			}
		}
	}
}

// BenchmarkWalk is what the looks of all steps cost at 100,000 connections of a loop, and what the
// dearest step costs, which describes walkFinds connections.
func BenchmarkWalk(b *testing.B) {
	b.Run("looks", func(b *testing.B) {
		walk, steps := loop.WalkSteps(100_000), 0
		b.ResetTimer()
		for range b.N {
			steps += walk()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(steps), "µs/step")
	})
	b.Run("finds", func(b *testing.B) {
		s := start(b, options{config: loop.Config{Loops: 1}})
		for range loop.WalkFinds {
			s.dial().sse("a,b,c now named")
		}
		b.ResetTimer()
		for range b.N {
			s.group.WalkStep(0, 0, loop.WalkFinds)
		}
	})
}
