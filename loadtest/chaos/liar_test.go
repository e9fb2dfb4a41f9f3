package chaos

import (
	"slices"
	"testing"
	"time"

	"peal/loadtest/child"
)

// reign lets a small chaos reign over a fake server that lies as told, after
// which some clients may never catch up.
func reign(t *testing.T, keep int, lie func(told *telling, lives, sent uint64)) Report {
	t.Helper()
	if lie == nil {
		return reignFor(t, keep, 20*time.Second, nil)
	}
	return reignFor(t, keep, 2*time.Second, lie)
}

// reignFor gives clients so long to catch up.
func reignFor(t *testing.T, keep int, catchUp time.Duration, lie func(told *telling, lives, sent uint64)) Report {
	t.Helper()
	t.Parallel() // it waits most of the time
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Addr: child.Loopback(port), Seed: 7, Length: 2 * time.Second, CatchUp: catchUp, Clients: 60,
		Transports: []string{"ws json", "sse", "sse json", "poll", "poll raw"}, Channels: 8, Publishers: 3, Rate: 200, Restart: 600 * time.Millisecond, History: keep}
	for ; ; c.Length *= 2 { // on a busy machine little happens in two seconds
		r, err := Run(t.Context(), c, &fake{addr: c.Addr, keep: keep, lie: lie})
		if err != nil {
			t.Fatal(err)
		}
		enough := r.Connections >= 60 && r.Kills > 0 && r.Checked >= 1000 && r.Acknowledged >= 100
		if lie != nil && (!r.Clean() || c.Length > 10*time.Second) {
			return r
		}
		// A lie may not have been told, or to somebody who was just leaving.
		if enough && lie == nil {
			return r
		}
		if c.Length > 20*time.Second {
			t.Fatalf("too little happened: %+v", r.Figures)
		}
	}
}

func TestAnHonestServerIsClean(t *testing.T) {
	r := reign(t, 100_000, nil)
	if !r.Clean() {
		t.Errorf("%+v", r)
	}
	if r.GapsReal == 0 {
		t.Error("a server that forgets everything tells of no gap")
	}
}

func TestAnHonestServerThatKeepsLittleIsClean(t *testing.T) {
	if r := reign(t, 3, nil); !r.Clean() {
		t.Errorf("%+v", r)
	}
}

// rarely applies a lie a few times in a run, when it is possible after enough was sent:
// one client may just be leaving, or be about to be told of a real gap.
func rarely(possible func(*telling) bool, lie func(*telling)) func(*telling, uint64, uint64) {
	left, last := 0, uint64(0)
	return func(t *telling, _, sent uint64) {
		if sent < last || last == 0 { // another run
			left = 8
		}
		last = sent
		if left > 0 && sent > 300 && possible(t) {
			left--
			lie(t)
		}
	}
}

func messages(n int) func(*telling) bool {
	return func(t *telling) bool { return len(t.messages) >= n && len(t.gaps) == 0 }
}

func TestAConnectionThatTheServerEndsIsFound(t *testing.T) {
	const times = 20 // some clients are just leaving, or the server is about to end
	done, last := 0, uint64(0)
	r := reignFor(t, 100_000, 20*time.Second, func(t *telling, _, sent uint64) {
		if sent < last { // another run
			done = 0
		}
		last = sent
		if sent > 100 && done < times {
			done++
			t.hangUp = true
		}
	})
	if r.Ended == 0 || r.Ended > times || r.Lost != 0 || r.Clean() {
		t.Errorf("%+v; want connections that the server ended", r)
	}
}

func TestALostMessageIsFound(t *testing.T) {
	if r := reign(t, 100_000, rarely(messages(1), func(t *telling) { t.messages = t.messages[1:] })); r.Lost == 0 && r.Behind == 0 {
		t.Errorf("%+v", r)
	}
}

func TestARepeatedMessageIsFound(t *testing.T) {
	// Not by a raw poll, which has room for one.
	if r := reign(t, 100_000, rarely(messages(2), func(t *telling) { t.messages = append(t.messages[:1:1], t.messages...) })); r.Repeated == 0 {
		t.Errorf("%+v", r)
	}
}

func TestSwappedMessagesAreFound(t *testing.T) {
	if r := reign(t, 100_000, rarely(messages(2), func(t *telling) { t.messages[0], t.messages[1] = t.messages[1], t.messages[0] })); r.Reordered == 0 {
		t.Errorf("%+v", r)
	}
}

func TestDamagedDataIsFound(t *testing.T) {
	if r := reign(t, 100_000, rarely(messages(1), func(t *telling) { t.messages[0].data += "!" })); r.Damaged == 0 {
		t.Errorf("%+v", r)
	}
}

func TestHiddenGapsAreFound(t *testing.T) {
	told := func(t *telling) bool {
		return slices.ContainsFunc(t.gaps, func(g gapNotice) bool { return g.Reason == "discarded" })
	}
	hide := func(t *telling, _, _ uint64) {
		if told(t) {
			t.gaps = nil
		}
	}
	if r := reign(t, 3, hide); r.Lost == 0 {
		t.Errorf("%+v", r)
	}
}

func TestAHiddenNewLifeIsFound(t *testing.T) {
	if r := reign(t, 100_000, func(t *telling, _, _ uint64) { t.gaps = nil }); r.Lost == 0 {
		t.Errorf("%+v", r)
	}
}

func TestInventedGapsAreFound(t *testing.T) {
	r := reign(t, 100_000, rarely(messages(1), func(t *telling) {
		e := t.messages[0]
		t.gaps = append(t.gaps, gapNotice{Channel: e.channel, To: "fake1-1", Reason: "discarded"})
	}))
	if r.GapsFalse == 0 {
		t.Errorf("%+v", r)
	}
}

func TestASilentServerLeavesClientsBehind(t *testing.T) {
	r := reign(t, 100_000, func(t *telling, lives, _ uint64) {
		if lives > 2 {
			t.messages = nil
		}
	})
	if r.Behind == 0 {
		t.Errorf("%+v", r)
	}
}
