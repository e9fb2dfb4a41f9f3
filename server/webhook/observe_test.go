package webhook_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/webhook"
)

// town is what an observer looks at.
type town struct {
	mu         sync.Mutex
	count      map[string]int
	members    map[string][]string
	incomplete bool
	touch      func(channel string)
}

func newTown() *town {
	return &town{count: map[string]int{}, members: map[string][]string{}, touch: func(string) {}}
}

func (w *town) set(channel string, n int, members ...string) {
	w.mu.Lock()
	w.count[channel], w.members[channel] = n, members
	w.mu.Unlock()
	w.touch(channel)
}

// observing sets c up to look at w.
func (w *town) observing(c *webhook.Config) {
	c.Subscribers = func(channel string) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.count[channel]
	}
	c.Members = func(channel string) ([]string, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.members[channel]), !w.incomplete
	}
	c.Each = func(f func(string)) {
		w.mu.Lock()
		names := slices.Collect(maps.Keys(w.count))
		w.mu.Unlock()
		for _, name := range names {
			f(name)
		}
	}
}

func observed(url string) webhook.Definition {
	d := definition(url)
	d.Events = []string{webhook.Occupied, webhook.Vacated, webhook.Added, webhook.Removed, webhook.Count}
	return d
}

// said is what a receiver knows after all events: of each channel, whether it is occupied, and its
// members.
func (v *receiver) said(t *testing.T) map[string]string {
	t.Helper()
	type state struct {
		occupied bool
		members  map[string]bool
	}
	all := map[string]*state{}
	ids := map[string]bool{}
	for _, e := range v.events(t) {
		if ids[e.ID] {
			continue
		}
		ids[e.ID] = true
		s := all[e.Channel]
		if s == nil {
			s = &state{members: map[string]bool{}}
			all[e.Channel] = s
		}
		switch e.Type {
		case webhook.Occupied, webhook.Vacated:
			if s.occupied == (e.Type == webhook.Occupied) {
				t.Errorf("%s twice for %s", e.Type, e.Channel)
			}
			s.occupied = e.Type == webhook.Occupied
		case webhook.Added, webhook.Removed:
			if s.members[e.User] == (e.Type == webhook.Added) {
				t.Errorf("%s twice for %s on %s", e.Type, e.User, e.Channel)
			}
			s.members[e.User] = e.Type == webhook.Added
		}
	}
	texts := map[string]string{}
	for name, s := range all {
		maps.DeleteFunc(s.members, func(_ string, in bool) bool { return !in })
		if s.occupied || len(s.members) > 0 {
			texts[name] = fmt.Sprint(s.occupied, slices.Sorted(maps.Keys(s.members)))
		}
	}
	return texts
}

func TestChannelsAndMembersAreReported(t *testing.T) {
	v, w := newReceiver(t, nil), newTown()
	c := config(memory.Open(time.Now), observed(v.URL))
	w.observing(&c)
	w.set("before", 2, "x") // nobody touched it
	r := start(t, c)
	w.touch = r.Touch
	r.ready(t)
	w.set("a", 1, "ann")
	w.set("$user:1", 1)
	is := func(what string, want map[string]string) {
		t.Helper()
		until(t, what, func() bool { return maps.Equal(v.said(t), want) })
	}
	is("two channels", map[string]string{"before": "true [x]", "a": "true [ann]"})
	w.set("a", 3, "ann", "bob", "cid")
	is("more members", map[string]string{"before": "true [x]", "a": "true [ann bob cid]"})
	until(t, "the count", func() bool {
		return slices.ContainsFunc(v.events(t), func(e told) bool { return e.Type == webhook.Count && e.Channel == "a" && e.Count == 3 })
	})
	w.set("a", 1, "bob")
	is("fewer", map[string]string{"before": "true [x]", "a": "true [bob]"})
	w.set("a", 0)
	w.set("before", 0)
	is("none", map[string]string{})
	for _, e := range v.events(t) {
		if strings.HasPrefix(e.Channel, "$") {
			t.Errorf("an event of %s", e.Channel)
		}
	}
}

// While members of other nodes are unknown nobody is reported as gone, or as there.
func TestAnIncompleteListIsNotCompared(t *testing.T) {
	v, w := newReceiver(t, nil), newTown()
	c := config(memory.Open(time.Now), observed(v.URL))
	w.observing(&c)
	r := start(t, c)
	w.touch = r.Touch
	r.ready(t)
	w.set("a", 2, "ann", "bob")
	until(t, "members", func() bool { return v.said(t)["a"] == "true [ann bob]" })
	w.mu.Lock()
	w.incomplete = true
	w.mu.Unlock()
	w.set("a", 1, "cid")
	until(t, "the count", func() bool {
		return slices.ContainsFunc(v.events(t), func(e told) bool { return e.Type == webhook.Count && e.Count == 1 })
	})
	if got := v.said(t)["a"]; got != "true [ann bob]" {
		t.Errorf("%s while the list is incomplete", got)
	}
	w.mu.Lock()
	w.incomplete = false
	w.mu.Unlock()
	until(t, "members again", func() bool { return v.said(t)["a"] == "true [cid]" })
}

// After a crash, with a log that was kept, whoever is gone is reported as gone, and whoever is there
// is not reported again.
func TestACrashLosesNoDifference(t *testing.T) {
	dir := t.TempDir()
	v, w := newReceiver(t, nil), newTown()
	l := openFile(t, dir)
	c := config(l, observed(v.URL))
	w.observing(&c)
	r := start(t, c)
	w.touch = r.Touch
	r.ready(t)
	w.set("a", 2, "ann", "bob")
	w.set("b", 1, "eve")
	until(t, "two channels", func() bool { return maps.Equal(v.said(t), map[string]string{"a": "true [ann bob]", "b": "true [eve]"}) })
	r.stop()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l, w = openFile(t, dir), newTown()
	c = config(l, observed(v.URL))
	w.observing(&c)
	w.set("a", 1, "bob")
	w.set("c", 1)
	r = start(t, c)
	w.touch = r.Touch
	until(t, "what is left", func() bool { return maps.Equal(v.said(t), map[string]string{"a": "true [bob]", "c": "true []"}) })
}

// Beyond Names nothing further is reported, and what is reported stays consistent.
func TestNamesAreBounded(t *testing.T) {
	v, w := newReceiver(t, nil), newTown()
	c := config(memory.Open(time.Now), observed(v.URL))
	c.Names = 10
	w.observing(&c)
	r := start(t, c)
	w.touch = r.Touch
	r.ready(t)
	for i := range 30 {
		w.set(fmt.Sprint("c", i), 1)
	}
	until(t, "ten channels", func() bool { return len(v.said(t)) == 10 && r.Stats().Untracked >= 20 })
	for i := range 30 {
		w.set(fmt.Sprint("c", i), 0)
	}
	until(t, "none", func() bool { return len(v.said(t)) == 0 })
}

// What was reported is saved, and loaded by an engine that removes entries.
func TestTheStateOutlivesTheEntries(t *testing.T) {
	v, w := newReceiver(t, nil), newTown()
	c := config(memory.Open(time.Now), observed(v.URL))
	w.observing(&c)
	r := start(t, c)
	w.touch = r.Touch
	r.ready(t)
	w.set("a", 2, "ann", "bob")
	until(t, "a channel", func() bool { return v.said(t)["a"] == "true [ann bob]" })
	until(t, "the cursor", func() bool { return r.Stats().Webhooks[0].Age == 0 })
	r.stop()
	saved := r.Save()

	h, err := webhook.New(config(memory.Open(time.Now)))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Load(saved, 99); err != nil {
		t.Fatal(err)
	}
	if again := h.Save(); string(again) != string(saved) {
		t.Errorf("loaded %s\nsaved  %s", saved, again)
	}
	h.Restore([]*log.Entry{{Sequence: 99, Kind: log.KindControl, Event: "webhook-changes", Data: []byte(`{"all":[{"name":"channel_vacated","channel":"a"}]}`)}})
	if again := h.Save(); string(again) != string(saved) {
		t.Error("an entry that the state has already changed it")
	}
	h.Restore([]*log.Entry{{Sequence: 100, Kind: log.KindControl, Event: "webhook-changes", Data: []byte(`{"all":[{"name":"member_removed","channel":"a","member":"ann"}]}`)}})
	if again := string(h.Save()); strings.Contains(again, `"ann"`) || !strings.Contains(again, "bob") {
		t.Errorf("after the next entry: %s", again)
	}
	for _, bad := range []string{"{", "x", `{"version":2}`, `[]`} {
		if h.Load([]byte(bad), 1) == nil {
			t.Errorf("%s was loaded", bad)
		}
	}
}
