package rules_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/server/rules"
)

func TestTheFirstRuleThatMatchesHolds(t *testing.T) {
	standard := rules.Rule{HistoryMessages: 10, HistoryBytes: 20, HistoryAge: time.Minute, MessageBytes: 30}
	table := rules.New([]rules.Rule{
		{Match: "prices.eur", HistoryMessages: -1, Slow: fanout.Disconnect},
		{Match: "prices.*", HistoryMessages: 1, Slow: fanout.Latest, ClientPublish: rules.No, Publish: rules.Backend},
		{Match: "*.big", Presence: rules.No, Deflate: rules.Yes, MessageBytes: 5, MaxSubscribers: 7, HistoryAge: time.Hour, HistoryBytes: 6},
	}, standard)
	check := func(channel string, want rules.Rule) {
		t.Helper()
		if got := *table.For(channel); got != want {
			t.Errorf("%s: got  %+v\nwant %+v", channel, got, want)
		}
		if got := table.At(table.Index(channel)); got != table.For(channel) {
			t.Errorf("%s: place %d has another rule", channel, table.Index(channel))
		}
	}
	check("prices.eur", rules.Rule{Match: "prices.eur", HistoryMessages: -1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Disconnect, ClientPublish: rules.Yes, Subscribe: rules.Anyone, Publish: rules.Anyone, MessageBytes: 30, Presence: rules.Yes, Deflate: rules.No})
	check("prices.usd", rules.Rule{Match: "prices.*", HistoryMessages: 1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Latest, ClientPublish: rules.No, Subscribe: rules.Anyone, Publish: rules.Backend, MessageBytes: 30, Presence: rules.Yes, Deflate: rules.No})
	check("prices.big", rules.Rule{Match: "prices.*", HistoryMessages: 1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Latest, ClientPublish: rules.No, Subscribe: rules.Anyone, Publish: rules.Backend, MessageBytes: 30, Presence: rules.Yes, Deflate: rules.No})
	check("x.big", rules.Rule{Match: "*.big", HistoryMessages: 10, HistoryBytes: 6, HistoryAge: time.Hour, Slow: fanout.Resume, ClientPublish: rules.Yes, Subscribe: rules.Anyone, Publish: rules.Anyone, MessageBytes: 5, MaxSubscribers: 7, Presence: rules.No, Deflate: rules.Yes})
	check("x", rules.Rule{Match: "*", HistoryMessages: 10, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Resume, ClientPublish: rules.Yes, Subscribe: rules.Anyone, Publish: rules.Anyone, MessageBytes: 30, Presence: rules.Yes, Deflate: rules.No})
	if got := table.Slow("prices.usd"); got != fanout.Latest {
		t.Errorf("slow consumers of prices.usd: %v", got)
	}
	if !table.Deflates("x.big") || table.Deflates("x") || !table.DeflatesAny() || rules.New(nil, standard).DeflatesAny() {
		t.Error("x.big alone is to be compressed")
	}
	if table.Len() != 4 {
		t.Errorf("%d rules, want 4 with the last", table.Len())
	}
}

func TestValidateSaysAllAtOnce(t *testing.T) {
	err := rules.Validate([]rules.Rule{
		{Match: "a*"},
		{Match: "ab", HistoryBytes: 5, HistoryAge: time.Microsecond},
		{Match: ""},
		{Match: "x\x01", MessageBytes: 2000},
		{Match: strings.Repeat("n", 201), MaxSubscribers: -1},
		{Match: "*", MessageBytes: 1000},
		{Match: "z"},
		{Match: `z\d`},
		{Match: "$z"},
	}, 1000)
	wants := []string{
		`rule 2, "ab": can never match: rule 1, "a*", matches all its channels`,
		`rule 2, "ab": history of 5 B: must be at least 512 B`,
		`rule 2, "ab": history age 1µs: must be at least 1ms`,
		`rule 3, "": has no pattern`,
		`rule 4, "x\x01": a pattern is`,
		`rule 4, "x\x01": messages of 2000 B: must be at most message-bytes, which is 1000 B`,
		`rule 5, "` + strings.Repeat("n", 201) + `": a pattern is`,
		`: -1 subscribers: must be at least 1`,
		`rule 7, "z": can never match: rule 6, "*"`,
		`rule 8, "z\\d": the backslash at byte 2 of the pattern precedes neither * nor \: write \\`,
	}
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(wants) {
		t.Errorf("%d faults, want %d: %v", len(lines), len(wants), err)
	}
	var fault *rules.Fault
	if !errors.As(err, &fault) || fault.Rule != 1 || fault.Match != "ab" {
		t.Errorf("the first fault is %+v", fault)
	}
}

func TestRulesAreLimited(t *testing.T) {
	many := make([]rules.Rule, rules.Most)
	for i := range many {
		many[i].Match = fmt.Sprintf("a.%d-*", i)
	}
	if err := rules.Validate(many, 1000); err != nil {
		t.Errorf("%d rules: %v", len(many), err)
	}
	if err := rules.Validate(append(many, rules.Rule{Match: "b"}), 1000); err == nil || !strings.Contains(err.Error(), "at most 1000") {
		t.Errorf("one more: %v", err)
	}
}

func TestPolicies(t *testing.T) {
	for _, p := range []fanout.Policy{fanout.Resume, fanout.Latest, fanout.Disconnect} {
		if got, err := fanout.ParsePolicy(p.String()); got != p || err != nil {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	for _, text := range []string{"", "Resume", "drop"} {
		if _, err := fanout.ParsePolicy(text); err == nil || !strings.Contains(err.Error(), "resume, latest or disconnect") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLookingUpDoesNotAllocate(t *testing.T) {
	table := rules.New([]rules.Rule{{Match: "a*b*c"}, {Match: "x"}}, rules.Rule{})
	if n := testing.AllocsPerRun(100, func() { table.For("a-b-d") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFor(b *testing.B) {
	for _, n := range []int{0, 10, 1000} {
		var list []rules.Rule
		for i := range n {
			list = append(list, rules.Rule{Match: fmt.Sprintf("tenant-%d.*.chat", i)})
		}
		table := rules.New(list, rules.Rule{})
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.For("tenant-of-nobody.room-17.chat")
			}
		})
	}
}
