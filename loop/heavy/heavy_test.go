package heavy_test

import (
	"testing"

	"peal/loop/heavy"
)

// However many light keys come, the heavy ones are found, in their order, and the
// memory is that of Most keys.
func TestHeavyKeysAreFoundAmongManyLightOnes(t *testing.T) {
	const most = 256
	h := heavy.Hitters[int]{Most: most}
	for round := range 1000 {
		for k := range 20 {
			for range 20 - k {
				h.Add(k, 100, nil)
			}
		}
		for k := range 50 {
			h.Add(1_000_000+round*50+k, 10, nil)
		}
	}
	if h.Len() != most {
		t.Errorf("%d keys are kept, want %d", h.Len(), most)
	}
	for i, c := range h.Top(20, nil) {
		items := uint64(20-i) * 1000
		if c.Key != i || c.Items < items || c.Items > items+500 || c.Bytes < 100*items {
			t.Errorf("place %d: %+v, want key %d with %d items", i, c, i, items)
		}
	}
	if top := h.Top(2, func(k int) bool { return k != 0 && k != 2 }); len(top) != 2 || top[0].Key != 1 || top[1].Key != 3 {
		t.Errorf("%+v", top)
	}
}

func TestKeysAreExactWhileThereIsRoom(t *testing.T) {
	h := heavy.Hitters[string]{Most: 3}
	if top := h.Top(9, nil); len(top) != 0 {
		t.Errorf("%+v", top)
	}
	buffer := []byte("a")
	clones := 0
	add := func(key string, bytes int) {
		h.Add(key, bytes, func(k string) string { clones++; return string([]byte(k)) })
	}
	add(string(buffer), 5)
	add("b", 7)
	add("b", 7)
	add("c", 0)
	want := []heavy.Count[string]{{Key: "b", Items: 2, Bytes: 14}, {Key: "a", Items: 1, Bytes: 5}, {Key: "c", Items: 1}}
	for i, c := range h.Top(9, nil) {
		if c != want[i] {
			t.Errorf("place %d: %+v, want %+v", i, c, want[i])
		}
	}
	if clones != 3 {
		t.Errorf("%d clones of 3 keys", clones)
	}
	add("d", 1) // takes the place of c, which had least, and its item
	if top := h.Top(9, func(k string) bool { return k == "c" || k == "d" }); len(top) != 1 || top[0].Key != "d" || top[0].Items != 2 {
		t.Errorf("%+v", top)
	}
}
