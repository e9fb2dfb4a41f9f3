package topic

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/yosida95/uritemplate/v3"
)

func TestTemplateMatches(t *testing.T) {
	for _, c := range []struct {
		template string
		yes, no  []string
	}{
		{"https://example.com/books/{id}", []string{"https://example.com/books/1", "https://example.com/books/", "https://example.com/books/a%2Fb", "https://example.com/books/a,b", "https://example.com/books/{id}"}, []string{"https://example.com/books/1/pages", "https://example.com/book/1", "https://example.com/books/a%2", "https://example.com/books/é", "$https://example.com/books/1"}},
		{"/{+path}", []string{"/a/b?c#d", "/"}, []string{"a", "/é", "/a b"}},
		{"/a{/b,c}", []string{"/a", "/a/", "/a/1", "/a/1/2"}, []string{"/a/1/2/3", "/ab", "/a1"}},
		{"/a{/b*}", []string{"/a", "/a/1/2/3/4", "/a/k=v"}, []string{"/a1"}},
		{"/a{?q,r}", []string{"/a", "/a?q=1", "/a?q=1&r=2", "/a?q=1,2"}, []string{"/a?q=1&r=2&s=3", "/a&q=1", "/aq=1"}},
		{"/a{?q*}", []string{"/a?a=1&b=2&c=3"}, []string{"/a?a=1/2"}},
		{"/a?fixed=1{&x}", []string{"/a?fixed=1", "/a?fixed=1&x=5"}, []string{"/a?fixed=1x", "/a?fixed=2&x=5"}},
		{"X{.x,y}", []string{"X", "X.a", "X.a.b", "X.a.b.c"}, []string{"Xa", "X/a"}},
		{"{;x,y}", []string{"", ";", ";x=1;y", ";a;b"}, []string{";a;b;c", "a"}},
		{"a{#frag}", []string{"a", "a#", "a#b/c"}, []string{"ab"}},
		{"/{a}/{b}/c", []string{"/1/2/c", "///c", "/c/c/c"}, []string{"/1/c", "/1/2/3/c", "/1/2/d"}},
		{"{a}{b}", []string{"", "abc"}, []string{"a/b"}},
		{"{a}x{b}x", []string{"xx", "axx", "xxx", "xaxax"}, []string{"x", "ax", "xxa"}},
		{"/u/{id:3}", []string{"/u/abc", "/u/abcdef"}, []string{"/u/a/b"}},
		{"{x}-{x}", []string{"a-b"}, []string{"ab"}},
	} {
		s, err := Parse(c.template)
		if err != nil {
			t.Fatalf("%s: %v", c.template, err)
		}
		for _, topic := range c.yes {
			if !s.Match(topic) {
				t.Errorf("%s does not match %q", c.template, topic)
			}
		}
		for _, topic := range c.no {
			if s.Match(topic) {
				t.Errorf("%s matches %q", c.template, topic)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "empty",
		"{":                                   "RFC 6570",
		"}":                                   "RFC 6570",
		"a}b":                                 "RFC 6570",
		"{}":                                  "RFC 6570",
		"{=a}":                                "RFC 6570",
		"{a b}":                               "RFC 6570",
		"a b{c}":                              "RFC 6570",
		"{a}\x00":                             "RFC 6570",
		"{a:}":                                "RFC 6570",
		"{a:99999}":                           "RFC 6570",
		"%zz{a}":                              "RFC 6570",
		"{a}\xff":                             "RFC 6570",
		strings.Repeat("{a}", 17):             "16 variables",
		strings.Repeat("{a}", 100):            "16 variables",
		"{" + strings.Repeat("a,", 20) + "a}": "16 variables",
		"{a}" + strings.Repeat("b", 600):      "512 bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want an error with %q", text, err, want)
		}
	}
	for _, text := range []string{"a", "*", "$a", "a b", "é", "https://example.com/1"} {
		if s, err := Parse(text); err != nil || s.String() != text || s.Exact() != (text != All) {
			t.Errorf("%q: %v, exact %v", text, err, s.Exact())
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	s, err := Parse("https://example.com/{a}/{b}/c{/d,e}{?f}")
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		if !s.Match("https://example.com/1/2/c/3?f=4") || s.Match("https://example.com/1/2/d/3?f=4") {
			t.Error("wrong")
		}
	})
	if n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// generated is a template, from few pieces, so that topics of the same pieces often match.
func generated(rnd *rand.Rand) string {
	var b strings.Builder
	for range 1 + rnd.IntN(5) {
		switch rnd.IntN(3) {
		case 0:
			b.WriteString([]string{"/", "a", "b/", "x", ".", "?", "&", ";", "%20", "é"}[rnd.IntN(10)])
		default:
			b.WriteString("{" + []string{"", "+", "#", ".", "/", ";", "?", "&"}[rnd.IntN(8)])
			for i := range 1 + rnd.IntN(3) {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString("v" + []string{"", "", ":3", "*"}[rnd.IntN(4)])
			}
			b.WriteByte('}')
		}
	}
	return b.String()
}

func someTopic(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(8) {
		b.WriteString([]string{"/", "a", "b", "x", ".", "?", "&", ";", "%20", "é", "=", ",", "#", "%2", "é"}[rnd.IntN(15)])
	}
	return b.String()
}

// TestTemplateIsTheLibrarys compares with the expressions that the library makes. They
// are narrower for lists and maps behind other variables, which may be undefined.
func TestTemplateIsTheLibrarys(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 20_000 {
		text := generated(rnd)
		theirs, err := uritemplate.New(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		s, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		expression := theirs.Regexp()
		for range 20 {
			topic := someTopic(rnd)
			want := expression.MatchString(topic) || topic == text
			got := s.Match(topic)
			if want {
				matched++
			}
			if got != want && !(got && strings.Contains(text, "*")) {
				t.Fatalf("%q matches %q: %v, and the library says %v", text, topic, got, want)
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d topics matched", matched)
	}
}

// TestTemplateMatchesItsExpansions has the library expand.
func TestTemplateMatchesItsExpansions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	values := []uritemplate.Value{uritemplate.String("a/b é"), uritemplate.String(""), uritemplate.List("r", "g", "b"), uritemplate.KV("k", "v", "l", "w"), {}}
	for range 5000 {
		text := generated(rnd)
		theirs := uritemplate.MustNew(text)
		v := values[rnd.IntN(len(values))]
		topic, err := theirs.Expand(uritemplate.Values{"v": v})
		if err != nil || v.T != uritemplate.ValueTypeString && strings.Contains(text, ":3") {
			continue
		}
		if len(topic) <= MaxTopicBytes && !Match(text, topic) {
			if s, err := Parse(text); err == nil && v.Valid() && !theirs.Regexp().MatchString(topic) {
				_ = s
				continue // a map without * has more separators than the grammar of the library allows
			}
			t.Fatalf("%q does not match its expansion %q", text, topic)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a{b}", "{+a,b*}", "{?a:3}/x{&b}", "{", "%20{a}", "é{a}é", "{a}{+b}%4{c}", "{/a,b}4{;c}"} {
		f.Add(text, "ab")
		f.Add(text, "%41%4a/%414;%4")
	}
	f.Add("{0,0}", "\x00")
	f.Fuzz(func(t *testing.T, text, topic string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		got := s.Match(topic)
		if s.template == nil || len(topic) > MaxTopicBytes || strings.Contains(text, "*") {
			return
		}
		theirs, err := uritemplate.New(text)
		if err != nil {
			t.Fatalf("%q is no template, but was accepted: %v", text, err)
		}
		if want := theirs.Regexp().MatchString(topic) || topic == text; got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, topic, got, want)
		}
	})
}

// hostile are templates and topics that take the longest.
var hostile = [][2]string{
	{"{+x}", strings.Repeat("a", MaxTopicBytes)},
	{"{a}{b}", strings.Repeat("%", MaxTopicBytes)},
	{"{a}.{b}.{c}", strings.Repeat("a.b-", MaxTopicBytes/4)},
	{strings.Repeat("{a}", MaxVariables), strings.Repeat("a", MaxTopicBytes-1) + "/"},
	{strings.Repeat("{a}", MaxVariables), strings.Repeat("a%41", MaxTopicBytes/4)},
	{strings.Repeat("{+a}a", MaxVariables-1) + "{+b}", strings.Repeat("a", MaxTopicBytes-2) + "é"},
	{strings.Repeat("{+a}aa", MaxVariables-1) + "{+b}", strings.Repeat("a", MaxTopicBytes)},
	{"{/a,b,c,d,e,f,g,h}{/a,b,c,d,e,f,g,h}", strings.Repeat("/", MaxTopicBytes)},
	{"{/a,b}{/c,d}{/e,f}{/g,h}{/i,j}{/k,l}{/m,n}{/o,p}", strings.Repeat("/%41", MaxTopicBytes/4)},
	{"{/a,b}a{/c,d}a{/e,f}a{/g,h}a{/i,j}a{/k,l}a{/m,n}a{/o,p}", strings.Repeat("a/", MaxTopicBytes/2)},
	{"{?a*}{;b*}{&c*}{/d*}{.e*}{#f*}{+g}{h}", strings.Repeat("%41", MaxTopicBytes/3)},
}

// The costs are those of BenchmarkMatch. A client that writes the worst template costs less
// than ten times the usual one.
func TestCosts(t *testing.T) {
	for i, want := range []int{450, 1210, 1390, 3450, 3450, 3600, 3750, 3030, 3210, 3280, 2770} {
		s, err := Parse(hostile[i][0])
		if err != nil {
			t.Fatal(err)
		}
		if got := s.template.cost(); got != want {
			t.Errorf("%s: %d, want %d", hostile[i][0], got, want)
		}
		if n := testing.AllocsPerRun(10, func() { s.Match(hostile[i][1]) }); n != 0 {
			t.Errorf("%s: %v allocations", hostile[i][0], n)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		if s, err := Parse(generated(rnd)); err == nil && s.template != nil && s.template.cost() > 6000 {
			t.Errorf("%s costs %d", s, s.template.cost())
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	list := append([][2]string{
		{"https://example.com/users/17/{rest}", "https://example.com/users/17/orders"},
		{"https://example.com/users/{id}/orders/x/{rest}", "https://example.com/users/17/orders/y/1"}, // does not match
		{"https://example.com/{a}/{b}/{c}", "https://example.com/users/17/orders"},
	}, hostile...)
	for _, c := range list {
		s, err := Parse(c[0])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c[0], func(b *testing.B) {
			for b.Loop() {
				s.Match(c[1])
			}
			if s.template != nil {
				b.ReportMetric(float64(s.template.cost()), "cost-ns")
			}
		})
	}
}
