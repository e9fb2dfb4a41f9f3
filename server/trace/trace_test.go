package trace_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"peal/server/trace"
)

// script is a record with a log whose head and clock a test moves.
type script struct {
	*trace.Record
	head  uint64
	clock int64
}

func newScript(lives int) *script {
	s := &script{clock: 1000}
	s.Record = trace.New(trace.Config{Lives: lives, Bytes: 1 << 20, Head: func() uint64 { return s.head }, Now: func() time.Time { return time.UnixMilli(s.clock) }})
	return s
}

func (s *script) at(head uint64) { s.head, s.clock = head, 1000+int64(head) }

func ann(slot uint32) trace.Client {
	return trace.Client{Session: uint64(slot+1) << 8, Name: "ann", Address: netip.MustParseAddr("192.0.2.7")}
}

func (s *script) join(slot uint32, from trace.From, start, covered uint64, channels ...string) {
	s.Join(slot, &trace.Joining{Client: ann(slot), Channels: channels, From: from, Start: start, Covered: covered, Unsure: covered})
}

func (s *script) ask(sequence, covered uint64) trace.Answer {
	q := &trace.Question{Sequence: sequence, Channels: []string{"a"}, Name: "ann", IDOf: idOf}
	var f trace.Finding
	s.Ask(q, 0, 1000, func(uint32) uint64 { return covered }, &f)
	return trace.Conclude(q, []trace.Finding{f}, false)
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(s *script)
		covered uint64 // of the open connection
		want    trace.Verdict
		detail  string // of the first connection, or the reason
	}{
		{"sent", func(s *script) { s.at(40); s.join(0, trace.Now, 40, 40, "a"); s.at(60) }, 60, trace.Sent, ""},
		{"behind", func(s *script) { s.at(40); s.join(0, trace.Now, 40, 40, "a"); s.at(60) }, 45, trace.Behind, ""},
		{"connected later", func(s *script) { s.at(60); s.join(0, trace.Now, 60, 60, "a") }, 60, trace.Later, ""},
		{"had it", func(s *script) { s.at(60); s.join(0, trace.After, 55, 60, "a") }, 60, trace.Had, ""},
		{"subscribed to something else", func(s *script) { s.at(40); s.join(0, trace.Now, 40, 40, "b"); s.at(60) }, 60, trace.NotSubscribed, ""},
		{"unsubscribed before", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a", "b")
			s.at(45)
			s.Leave(0, []string{"a"}, 45, 45)
			s.at(60)
		}, 60, trace.NotSubscribed, ""},
		{"disconnected before it was published", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(45)
			s.Ending(0, "dead")
			s.End(0, 45, 45)
			s.at(60)
		}, 0, trace.Disconnected, ""},
		{"disconnected before it was sent", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(60)
			s.End(0, 45, 45)
		}, 0, trace.Disconnected, ""},
		{"half sent at the end", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(60)
			s.End(0, 49, 50)
		}, 0, trace.NotKnown, "it was being sent when the subscription changed"},
		{"with a sender that reports later", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(60)
			s.End(0, 45, trace.AllUnsure)
		}, 0, trace.NotKnown, "it was being sent when the subscription changed"},
		{"gap", func(s *script) {
			s.at(60)
			s.join(0, trace.After, 10, 60, "a")
			s.Gap(0, "a", 10, 52, trace.Retention)
		}, 60, trace.GapTold, "retention"},
		{"gap after it was sent", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(60)
			s.join(0, trace.Now, 60, 55, "b")
			s.Gap(0, "a", 45, 58, trace.Retention)
		}, 60, trace.Sent, ""},
		{"skipped for a slow consumer", func(s *script) {
			s.at(40)
			s.join(0, trace.Now, 40, 40, "a")
			s.at(60)
			s.Gap(0, "a", 40, 59, trace.Policy)
		}, 60, trace.ByPolicy, "slow consumer"},
		{"a cursor of another log", func(s *script) { s.at(60); s.join(0, trace.Foreign, 60, 60, "a") }, 60, trace.GapTold, "unknown cursor"},
		{"retention passed", func(s *script) { s.at(60); s.join(0, trace.Earliest, 55, 60, "a") }, 60, trace.Gone, ""},
		{"token", func(s *script) { s.at(45); c := ann(0); s.Refuse(&c, []string{"a"}, "not_allowed"); s.at(60) }, 0, trace.NotGranted, "not_allowed"},
		{"policy", func(s *script) { s.at(45); c := ann(0); s.Refuse(&c, []string{"a"}, "backend_only"); s.at(60) }, 0, trace.ByPolicy, "backend_only"},
		{"not connected", func(s *script) { s.at(60) }, 0, trace.NotConnected, ""},

		{"forgotten", func(s *script) {
			for slot := range uint32(20) {
				s.at(40 + uint64(slot))
				s.join(slot, trace.Now, s.head, s.head, "a")
				s.at(41 + uint64(slot))
				s.End(slot, s.head, s.head)
			}
			s.Gap(3, "a", 1, 2, trace.Lost) // of nobody
		}, 0, trace.NotKnown, "forgotten"},
		{"no room", func(s *script) {
			s.at(40)
			for slot := range uint32(9) {
				s.join(slot, trace.Now, s.head, s.head, "b")
			}
			s.at(60)
		}, 60, trace.NotKnown, "forgotten"},
	} {
		s := newScript(8)
		c.do(s)
		a := s.ask(50, c.covered)
		got := a.Reason
		if a.Reason == "" && len(a.Found) > 0 {
			got = a.Found[0].Detail
		}
		if a.Verdict != c.want || !strings.Contains(got, c.detail) {
			t.Errorf("%s: %v (%s), want %v (%s); %+v", c.name, a.Verdict, got, c.want, c.detail, a)
		}
	}
}

func TestOlderThanTheRecord(t *testing.T) {
	s := &script{head: 100}
	s.Record = trace.New(trace.Config{Lives: 8, Bytes: 1 << 20, Head: func() uint64 { return s.head }, Now: time.Now})
	if a := s.ask(50, 0); a.Verdict != trace.NotKnown || !strings.Contains(a.Reason, "older than the record") {
		t.Errorf("%v, %s", a.Verdict, a.Reason)
	}
}

func TestOtherNodesMayHaveSentIt(t *testing.T) {
	s := newScript(8)
	s.at(60)
	q := &trace.Question{Sequence: 50, Channels: []string{"a"}, Name: "ann", IDOf: idOf}
	var f trace.Finding
	s.Ask(q, 0, 1000, nil, &f)
	if a := trace.Conclude(q, []trace.Finding{f}, true); a.Verdict != trace.NotKnown || !strings.Contains(a.Reason, "node") {
		t.Errorf("%v, %s", a.Verdict, a.Reason)
	}
}

func TestConfirmations(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(s *script)
		by   trace.By
	}{
		{"no pong", func(s *script) { s.Ping(0, 60) }, trace.Unconfirmed},
		{"pong", func(s *script) { s.Ping(0, 60); s.Pong(0, 60, true) }, trace.Pong},
		{"pong of an earlier ping", func(s *script) { s.Ping(0, 45); s.Ping(0, 60); s.Pong(0, 45, true) }, trace.Unconfirmed},
		{"late pongs without a position", func(s *script) { s.Ping(0, 45); s.Ping(0, 60); s.Pong(0, 0, false) }, trace.Unconfirmed},
		{"both pongs without a position", func(s *script) { s.Ping(0, 45); s.Ping(0, 60); s.Pong(0, 0, false); s.Pong(0, 0, false) }, trace.Pong},
		{"one pong for three pings", func(s *script) {
			for _, at := range []uint64{45, 46, 60} {
				s.Ping(0, at)
			}
			s.Pong(0, 0, false)
			s.Pong(0, 0, false)
		}, trace.Unconfirmed},
		{"a pong that nobody asked for", func(s *script) { s.Pong(0, 60, true); s.Pong(0, 0, false) }, trace.Unconfirmed},
		{"a pong ahead of the ping", func(s *script) { s.Ping(0, 45); s.Pong(0, 60, true) }, trace.Unconfirmed},
		{"reconnect", func(s *script) {
			s.End(0, 60, 60)
			c := ann(1)
			c.ID = idOf(ann(0).Session)
			s.Join(1, &trace.Joining{Client: c, Channels: []string{"a"}, From: trace.After, Start: 55})
		}, trace.Reconnect},
		{"reconnect of another client of the user", func(s *script) {
			s.End(0, 60, 60)
			s.join(1, trace.After, 55, 60, "a")
		}, trace.Unconfirmed},
		{"reconnect for another channel", func(s *script) {
			s.End(0, 60, 60)
			c := ann(1)
			c.ID = idOf(ann(0).Session)
			s.Join(1, &trace.Joining{Client: c, Channels: []string{"b"}, From: trace.After, Start: 55})
		}, trace.Unconfirmed},
	} {
		s := newScript(8)
		s.at(40)
		s.join(0, trace.Now, 40, 40, "a")
		s.at(60)
		c.do(s)
		a := s.ask(50, 60)
		if a.Verdict != trace.Sent || a.Found[0].IsConfirmed(50) != (c.by != trace.Unconfirmed) || a.Found[0].IsConfirmed(50) && a.Found[0].ConfirmedBy != c.by {
			t.Errorf("%s: %+v, want %v", c.name, a, c.by)
		}
	}
}

// The polls of one client are one life; those of another client on the same connection are another.
func TestPolls(t *testing.T) {
	poll := func(s *script, name string, id byte, shared bool, start, covered uint64) {
		c := trace.Client{Session: 256, Name: name, Poll: true, Shared: shared}
		if id != 0 {
			c.ID = [16]byte{id}
		}
		s.Join(0, &trace.Joining{Client: c, Channels: []string{"a"}, From: trace.After, Start: start, Covered: covered, Unsure: covered})
	}
	for _, c := range []struct {
		name      string
		do        func(s *script)
		lives     int
		confirmed bool
	}{
		{"one client", func(s *script) { poll(s, "ann", 0, false, 40, 40); s.at(60); poll(s, "ann", 7, false, 60, 60) }, 1, true},
		{"it repeats a poll", func(s *script) { poll(s, "ann", 0, false, 40, 40); s.at(60); poll(s, "ann", 7, false, 40, 60) }, 1, false},
		{"by a proxy, without ids", func(s *script) { poll(s, "ann", 0, true, 40, 40); s.at(60); poll(s, "ann", 7, true, 60, 60) }, 2, false},
		{"by a proxy, with one id", func(s *script) { poll(s, "ann", 7, true, 40, 40); s.at(60); poll(s, "ann", 7, true, 60, 60) }, 1, true},
		{"by a proxy, with two ids", func(s *script) { poll(s, "ann", 7, true, 40, 40); s.at(60); poll(s, "ann", 8, true, 60, 60) }, 2, false},
	} {
		s := newScript(8)
		s.at(40)
		c.do(s)
		a := s.ask(50, 60)
		if len(a.Found) != c.lives || a.Verdict != trace.Sent || a.Found[0].IsConfirmed(50) != c.confirmed {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

// A client that sends nonsense for ever costs what one life may cost.
func TestALifeIsBounded(t *testing.T) {
	s := newScript(8)
	for i := range uint64(10_000) {
		s.at(10 * i)
		s.join(0, trace.Now, s.head, s.head, "a")
		s.Gap(0, "a", s.head+1, s.head+2, trace.Retention)
		s.Leave(0, []string{"a"}, s.head+3, s.head+3)
	}
	if got := s.Stats(); got.Bytes > 100_000 || got.Live != 1 {
		t.Errorf("%+v", got)
	}
	if a := s.ask(50, 100_000); a.Verdict != trace.NotKnown {
		t.Errorf("what was forgotten: %+v", a)
	}
	if a := s.ask(99_982, 100_000); a.Verdict != trace.GapTold {
		t.Errorf("what was not: %+v", a)
	}
}

// What a connection costs is in docs/trace.md.
func TestLifeBytes(t *testing.T) {
	s := newScript(10_000)
	for slot := range uint32(100) {
		s.join(slot, trace.Now, 0, 0, "news")
	}
	if each := s.Stats().Bytes / 100; each > 300 {
		t.Errorf("a connection with one channel costs %d bytes", each)
	}
}
