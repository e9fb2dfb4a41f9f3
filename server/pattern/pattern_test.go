package pattern_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"peal/server/pattern"
)

// oracle is Match by other means.
func oracle(text, name string) bool {
	if strings.HasPrefix(name, "$") && !strings.HasPrefix(text, "$") {
		return false
	}
	expression := regexp.MustCompile(`(?s)\\.|\*|[^*\\]+`).ReplaceAllStringFunc(text, func(part string) string {
		switch part[0] {
		case '*':
			return `.*`
		case '\\':
			part = part[1:]
		}
		return regexp.QuoteMeta(part)
	})
	return regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(name)
}

func mustCompile(t *testing.T, text string) *pattern.Pattern {
	t.Helper()
	p, err := pattern.Compile(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return &p
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
		// a star that is none
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\*`, `a\*`, false}, {`\**`, "*b", true}, {`\**`, "b", false},
		{`a\\*`, `a\b`, true}, {`a\\*`, "a*", false}, {`\\\*`, `\*`, true},
		// names of the server
		{"*", "$user:42", false}, {"**", "$me", false}, {"*user:42", "$user:42", false}, {"*$me", "$me", false},
		{"*$me", "a$me", true}, {"a*", "a$b", true}, {"$user:*", "$user:42", true}, {"$me", "$me", true}, {"$*", "$me", true},
	} {
		if got := mustCompile(t, c.pattern).Match(c.name); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
		if got := oracle(c.pattern, c.name); got != c.want {
			t.Errorf("the oracle about %q and %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	if none := new(pattern.Pattern); none.Match("") || none.Match("a") {
		t.Error("the zero Pattern matches a name")
	}
}

func TestCheckSaysWhatToChange(t *testing.T) {
	long := strings.Repeat("n", pattern.MaxBytes)
	for _, c := range []struct{ text, want string }{
		{"", "a pattern is 1 to 200 bytes"},
		{"a\x01", "printable"},
		{"a\xff", "printable"},
		{long + "*", "a pattern is 1 to 200 bytes"},
		{pattern.Escape(long + "*"), "a pattern is 1 to 200 bytes"},
		{strings.Repeat(`\*`, pattern.MaxBytes) + `\*`, "a pattern is 1 to 200 bytes"},
		{`a\`, `ends with a single backslash: write \\`},
		{`a\b*`, `backslash at byte 2 of the pattern precedes neither`},
		{`\$me`, `backslash at byte 1 of the pattern precedes neither`},
		{long, ""}, {strings.Repeat(`\*`, pattern.MaxBytes), ""}, {"\u200d*", ""},
	} {
		err := pattern.Check(c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{{"a*b*c", "aXbXc"}, {"*aa*a", "aaa"}, {"", ""}, {"**", "x"}, {"a.*", "a\n"}, {`\**`, "*$"}, {"$*", "$me"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		name = strings.ToValidUTF8(name, "?") // a regular expression takes bytes that are no UTF-8 for one another
		p, err := pattern.Compile(text)
		if (err == nil) != (pattern.Check(text) == nil) {
			t.Errorf("Compile and Check differ about %q", text)
		}
		if err != nil {
			return
		}
		if got, want := p.Match(name), oracle(text, name); got != want {
			t.Errorf("%q matches %q: %v, want %v", text, name, got, want)
		}
	})
}

// An escaped name is a pattern that matches this name only, also in the middle of a
// longer pattern.
func FuzzEscape(f *testing.F) {
	f.Add("a*", "ab")
	f.Add(`\`, "*")
	f.Add("$me", "me")
	f.Fuzz(func(t *testing.T, name, other string) {
		if name == "" || len(name) > pattern.MaxBytes-4 || !pattern.IsPrintable([]byte(name)) || !pattern.IsPrintable([]byte(other)) {
			return
		}
		p := mustCompile(t, pattern.Escape(name))
		if !p.Match(name) || p.Match(other) != (name == other) {
			t.Errorf("the escaped %q matches it: %v; %q: %v", name, p.Match(name), other, p.Match(other))
		}
		part := mustCompile(t, "u."+pattern.Escape(name)+".*")
		if !part.Match("u."+name+".x") || part.Match("u."+other+".x") && !strings.HasPrefix(other+".x", name+".") {
			t.Errorf("the escaped %q as a part: %+v, %q", name, part, other)
		}
	})
}

// text is up to n letters, of few different ones: coincidences are the point.
func text(random *rand.Rand, letters []string, n int) string {
	var b strings.Builder
	for range random.IntN(n + 1) {
		b.WriteString(letters[random.IntN(len(letters))])
	}
	return b.String()
}

var (
	ofPatterns = []string{"a", "b", "*", "*", `\*`, "$"}
	ofNames    = []string{"a", "b", "*", "$"}
)

func TestMatchIsTheOracle(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	matched := 0
	for range 10_000 {
		text, name := text(random, ofPatterns, 7)+"*", text(random, ofNames, 8)
		got, want := mustCompile(t, text).Match(name), oracle(text, name)
		if got != want {
			t.Fatalf("seed %d: %q matches %q: %v, want %v", seed, text, name, got, want)
		}
		if got {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d of 10,000 matched: this tests nothing", matched)
	}
}

// A pattern that covers another matches all its names, and one that does not lacks
// one of them.
func TestCoversIsExact(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	covered := 0
	for range 3_000 {
		first, second := text(random, ofPatterns, 4)+"b", text(random, ofPatterns, 5)+"b"
		if !mustCompile(t, first).Covers(second) {
			star := strings.NewReplacer(`\*`, "*", "*", "z")
			if witness := star.Replace(second); oracle(first, witness) {
				t.Fatalf("seed %d: %q does not cover %q, but has %q", seed, first, second, witness)
			}
			continue
		}
		covered++
		for range 20 {
			if name := text(random, append(ofNames, "z"), 7) + "b"; oracle(second, name) && !oracle(first, name) {
				t.Fatalf("seed %d: %q covers %q, but lacks %q", seed, first, second, name)
			}
		}
	}
	if covered < 100 {
		t.Errorf("only %d of 3,000 were covered: this tests nothing", covered)
	}
	if all := mustCompile(t, "*"); all.Covers(`\`) || all.Covers("") || all.Covers("$me") {
		t.Error("* covers what is not a pattern, or a name of the server")
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	p := mustCompile(t, `a*b\**c`)
	if n := testing.AllocsPerRun(100, func() { p.Match("a-b*d") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
