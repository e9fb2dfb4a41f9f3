package mercure_test

import (
	"strings"
	"testing"

	"peal/server/mercure"
)

func TestSelectors(t *testing.T) {
	const books = "https://example.com/books/{id}"
	for _, c := range []struct {
		list   []string
		topic  string
		wanted bool
	}{
		{nil, "a", false},
		{[]string{"a"}, "a", true},
		{[]string{"a"}, "A", false},
		{[]string{"a"}, "ab", false},
		{[]string{"b", "a", "c"}, "c", true},
		{[]string{"*"}, "https://example.com/x", true},
		{[]string{"a*"}, "ab", false}, // a star is no pattern
		{[]string{books}, "https://example.com/books/1", true},
		{[]string{books}, "https://example.com/books/1/reviews", false},
		{[]string{books}, "xhttps://example.com/books/1", false},
		{[]string{books}, "https://example.com/books/1\nx", false},
		{[]string{books}, "https://exampleXcom/books/1", false},
		{[]string{books}, books, true},
		{[]string{"https://example.com/users/foo/{?topic}"}, "https://example.com/users/foo/?topic=https%3A%2F%2Fexample.com%2Fbooks%2F1", true},
		{[]string{"https://example.com/users/foo/{?topic}"}, "https://example.com/users/bar/?topic=x", false},
		{[]string{"a{"}, "a{", true},
		{[]string{"a{"}, "ab", false},
		{[]string{"{scheme}://{+host}/demo/{id}.jsonld"}, "https://demo.example/demo/7.jsonld", true},
	} {
		s, err := mercure.Compile(c.list)
		if err != nil || s.Match(c.topic) != c.wanted {
			t.Errorf("%q, %q: not %v, or %v", c.list, c.topic, c.wanted, err)
		}
	}
}

func TestSelectorsThatAreNone(t *testing.T) {
	for _, list := range [][]string{{""}, {"\xff"}, {strings.Repeat("a", 1025)}, make([]string, 101)} {
		if _, err := mercure.Compile(list); err == nil {
			t.Errorf("%.20q: no error", list)
		} else if len(list[0]) > 0 && strings.Contains(err.Error(), list[0]) {
			t.Errorf("%.20q: the error repeats it: %v", list, err)
		}
	}
}

// What a template may be is limited, and so is the time of a match: RE2 has no backtracking.
func TestManyVariablesAreLinear(t *testing.T) {
	s, err := mercure.Compile([]string{strings.Repeat("{+a}", 100) + "x"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Match(strings.Repeat("a", 200)) {
		t.Error("it matches a topic without x")
	}
}
