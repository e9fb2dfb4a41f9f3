package conform

import (
	"context"
	"fmt"
	"testing"

	"peal/server/log"
)

// Collections checks an engine that has collections, of which a and b are nodes.
func Collections(t *testing.T, a, b log.Collecting) {
	t.Helper()
	ctx := context.Background()
	c, d := a.Collection("some"), b.Collection("some")
	is := func(what, want string) {
		t.Helper()
		for _, one := range []log.Collection{c, d} {
			heads, err := one.Heads(ctx)
			if got := fmt.Sprintf("%s %v", heads, err); got != want+" <nil>" {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
	}
	put := func(c log.Collection, key, head, body string, want int) {
		t.Helper()
		dropped, err := c.Put(ctx, log.Document{Key: key, Head: []byte(head), Body: []byte(body)}, 3, 20)
		if err != nil || dropped != want {
			t.Errorf("put %q: %d dropped, %v, want %d", key, dropped, err, want)
		}
	}
	body := func(key, want string) {
		t.Helper()
		got, ok, err := d.Body(ctx, key)
		if err != nil || ok != (want != "") || string(got) != want {
			t.Errorf("body of %q: %q, %v, %v, want %q", key, got, ok, err, want)
		}
	}
	is("nothing", "[]")
	body("k\x001", "")
	put(c, "k\x001", "one", "\xff\x001", 0)
	put(d, "k2", "two", "2", 0)
	is("two documents", "[one two]")
	body("k\x001", "\xff\x001")
	put(c, "k\x001", "one again", "11", 0)
	is("one that is put again is the newest", "[two one again]")
	body("k\x001", "11")
	put(c, "k3", "three", "3", 0)
	put(c, "k4", "four", "4", 1)
	is("beyond the number the oldest is dropped", "[one again three four]")
	body("k2", "")
	put(d, "k5", "five", "1234567890123456789", 2)
	is("and beyond the bytes", "[four five]")
	body("k3", "")
	put(c, "k6", "six", "a body that is larger than all of the room", 2)
	is("never the newest", "[six]")
	if other, err := a.Collection("other").Heads(ctx); err != nil || len(other) > 0 {
		t.Errorf("another collection has %s, %v", other, err)
	}
	for _, want := range []bool{true, false} {
		if found, err := d.Delete(ctx, "k6"); found != want || err != nil {
			t.Errorf("delete: %v, %v, want %v", found, err, want)
		}
	}
	body("k6", "")
	is("nothing is left", "[]")
}
