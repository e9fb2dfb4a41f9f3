package mercure

import "testing"

// Whatever a token has, it is compiled or refused; a selector selects the topic of its own text, and
// a list selects what one of its selectors does.
func FuzzSelectors(f *testing.F) {
	for _, seed := range [][3]string{
		{"https://a/books/{id}", "news", "https://a/books/1"}, {"*", "", "x"}, {"{+x}{?y,z}", "{", "}"}, {"{a}{b}{c}{d}", "%ff", "aaaa"}, {"\xff", "$private:a", "$private:a"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, a, b, topic string) {
		both, err := Compile([]string{a, b})
		first, errA := Compile([]string{a})
		second, errB := Compile([]string{b})
		if (err == nil) != (errA == nil && errB == nil) {
			t.Fatalf("%q and %q: %v, %v, %v", a, b, err, errA, errB)
		}
		if err != nil {
			return
		}
		if !first.Match(a) || !second.Match(b) {
			t.Fatalf("%q or %q does not select itself", a, b)
		}
		if got, want := both.Match(topic), first.Match(topic) || second.Match(topic); got != want {
			t.Fatalf("%q and %q select %q: %v, want %v", a, b, topic, got, want)
		}
	})
}
