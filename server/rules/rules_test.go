package rules_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/server/rules"
)

// oracle is Match by other means.
func oracle(pattern, name string) bool {
	expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	return regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(name)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"news", "news", true}, {"news", "news2", false}, {"news", "new", false},
		{"*", "", true}, {"*", "a.b/c", true}, {"**", "x", true},
		{"prices.*", "prices.", true}, {"prices.*", "prices.eur.usd", true}, {"prices.*", "prices", false},
		{"*.log", ".log", true}, {"*.log", "a.log", true}, {"*.log", "a.logs", false},
		{"ab*ba", "aba", false}, {"ab*ba", "abba", true}, {"ab*ba", "ab-ba", true},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "ac", false}, {"a*bc*bc", "abcbc", true}, {"a*bc*bc", "abc", false},
		{"a?[b].+", "a?[b].+", true}, {"a?", "ab", false}, {"A*", "a", false}, {"*ü*", "grün", true},
	} {
		if got := rules.Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
		if got := oracle(c.pattern, c.name); got != c.want {
			t.Errorf("the oracle about %q and %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{{"a*b*c", "aXbXc"}, {"*aa*a", "aaa"}, {"", ""}, {"**", "x"}, {"a.*", "a\n"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		// A regular expression takes bytes that are no UTF-8 for one another.
		pattern, name = strings.ToValidUTF8(pattern, "?"), strings.ToValidUTF8(name, "?")
		if len(pattern) > 1000 { // expressions have a limit
			return
		}
		if got, want := rules.Match(pattern, name), oracle(pattern, name); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// text is up to n letters, of few different ones: coincidences are the point.
func text(random *rand.Rand, letters string, n int) string {
	b := make([]byte, random.IntN(n+1))
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}

func TestMatchIsTheOracle(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	matched := 0
	for range 5_000 {
		pattern, name := text(random, "ab**", 8), text(random, "ab", 10)
		got, want := rules.Match(pattern, name), oracle(pattern, name)
		if got != want {
			t.Fatalf("seed %d: %q matches %q: %v, want %v", seed, pattern, name, got, want)
		}
		if got {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d of 5,000 matched: this tests nothing", matched)
	}
}

// What Validate calls unreachable is, and what it lets pass has a name that
// only the later rule matches.
func TestUnreachableRulesAreFoundExactly(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	unreachable := 0
	for range 3_000 {
		first, second := text(random, "ab**", 5)+"b", text(random, "ab**", 6)+"b"
		err := rules.Validate([]rules.Rule{{Match: first}, {Match: second}}, 1000)
		witness := strings.ReplaceAll(second, "*", "z")
		if err == nil {
			if oracle(first, witness) {
				t.Fatalf("seed %d: %q after %q passes, and %q is not its own", seed, second, first, witness)
			}
			continue
		}
		unreachable++
		for range 20 {
			if name := text(random, "abz", 8); oracle(second, name) && !oracle(first, name) {
				t.Fatalf("seed %d: %q after %q is refused, but has %q", seed, second, first, name)
			}
		}
	}
	if unreachable < 100 {
		t.Errorf("only %d of 3,000 were unreachable: this tests nothing", unreachable)
	}
}

func TestTheFirstRuleThatMatchesHolds(t *testing.T) {
	standard := rules.Rule{HistoryMessages: 10, HistoryBytes: 20, HistoryAge: time.Minute, MessageBytes: 30}
	table := rules.New([]rules.Rule{
		{Match: "prices.eur", HistoryMessages: -1, Slow: fanout.Disconnect},
		{Match: "prices.*", HistoryMessages: 1, Slow: fanout.Latest, ClientPublish: rules.No},
		{Match: "*.big", Presence: rules.No, MessageBytes: 5, MaxSubscribers: 7, HistoryAge: time.Hour, HistoryBytes: 6},
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
	check("prices.eur", rules.Rule{Match: "prices.eur", HistoryMessages: -1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Disconnect, ClientPublish: rules.Yes, MessageBytes: 30, Presence: rules.Yes})
	check("prices.usd", rules.Rule{Match: "prices.*", HistoryMessages: 1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Latest, ClientPublish: rules.No, MessageBytes: 30, Presence: rules.Yes})
	check("prices.big", rules.Rule{Match: "prices.*", HistoryMessages: 1, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Latest, ClientPublish: rules.No, MessageBytes: 30, Presence: rules.Yes})
	check("x.big", rules.Rule{Match: "*.big", HistoryMessages: 10, HistoryBytes: 6, HistoryAge: time.Hour, Slow: fanout.Resume, ClientPublish: rules.Yes, MessageBytes: 5, MaxSubscribers: 7, Presence: rules.No})
	check("x", rules.Rule{Match: "*", HistoryMessages: 10, HistoryBytes: 20, HistoryAge: time.Minute, Slow: fanout.Resume, ClientPublish: rules.Yes, MessageBytes: 30, Presence: rules.Yes})
	if got := table.Slow("prices.usd"); got != fanout.Latest {
		t.Errorf("slow consumers of prices.usd: %v", got)
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
